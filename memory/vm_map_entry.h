// One entry of a vm_map: a range of guest addresses, the object pages behind it, its rights, and
// who keeps it in place.
//
// Invariants: `range` is never empty; offset + range.size() does not wrap; a guard has no object,
// no rights and no wirings.
// Thread safety: as the map that holds it.
#ifndef VMWIRE_MEMORY_VM_MAP_ENTRY_H_
#define VMWIRE_MEMORY_VM_MAP_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "memory/page_range.h"
#include "memory/page_run.h"
#include "memory/protection.h"
#include "memory/vm_object.h"

namespace vmwire {

class Transition;

struct VmMapEntry {
  GuestRange range;
  std::shared_ptr<VmObject> object;  // Null: a guard, at which nothing may be accessed or wired.
  uint64_t offset = 0;               // Into the object, of the entry's first byte.
  Protection protection = Protection::kNone;
  Protection max_protection = Protection::kNone;

  // System wirings nest, a user wiring does not: two counters, so that neither can be mistaken for
  // the other.
  uint32_t system_wires = 0;
  uint32_t token_wires = 0;  // Of the system wirings, those that WiredRange tokens own.
  bool user_wired = false;
  // MappedRange tokens: they keep the entry mapped, and do not wire it.
  uint32_t mapped_tokens = 0;
  // A cut that was asked for (VmMap::Clip): not merged with the entry below before the next wiring
  // or unwiring here.
  bool clipped = false;
  // The call that is wiring the entry now: nobody else wires, unwires, protects or removes it
  // meanwhile, nor merges it; it may be clipped. Null: none.
  Transition* transition = nullptr;

  bool IsGuard() const { return object == nullptr; }

  // System wirings that an unwire call may take: a token's is the token's to give back.
  uint32_t OwnerlessWires() const { return system_wires - token_wires; }

  bool IsWired() const { return system_wires != 0 || user_wired; }
  // True if a system wiring or a token depends on the entry: it may be neither removed nor
  // replaced.
  bool IsKept() const { return system_wires != 0 || mapped_tokens != 0; }

  // The object's pages behind the entry.
  PageRun Pages() const { return {offset / kPageSize, offset / kPageSize + range.pages()}; }

  // The object's offset of `address`. REQUIRES: range.Contains(address).
  uint64_t OffsetOf(GuestAddress address) const {
    return offset + (address.value() - range.start().value());
  }
};

// True if the two are one piece of memory: `high` begins where `low` ends, in the map and in the
// object.
bool Continues(const VmMapEntry& low, const VmMapEntry& high);

// True if the two could be one entry: one piece, and nothing else tells them apart.
bool CanMerge(const VmMapEntry& low, const VmMapEntry& high);

// "[0x0, 0x200000) rw- max rwx offset 0x0 wires 1 (tokens 1) user 0 mapped 0"
std::string ToString(const VmMapEntry& entry);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_VM_MAP_ENTRY_H_
