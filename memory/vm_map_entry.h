// One entry of a vm_map: a range of guest addresses, the object pages behind it, its rights, and
// who keeps it in place.
//
// Invariants: `range` is never empty; offset + range.size() does not wrap.
// Thread safety: as the map that holds it.
#ifndef VMWIRE_MEMORY_VM_MAP_ENTRY_H_
#define VMWIRE_MEMORY_VM_MAP_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "memory/page_range.h"
#include "memory/protection.h"
#include "memory/range_counts.h"
#include "memory/vm_object.h"

namespace vmwire {

struct VmMapEntry {
  GuestRange range;
  std::shared_ptr<VmObject> object;
  uint64_t offset = 0;  // Into the object, of the entry's first byte.
  Protection protection = Protection::kNone;
  Protection max_protection = Protection::kNone;

  // System wirings nest, a user wiring does not: two counters, so that neither can be mistaken for
  // the other.
  uint32_t system_wires = 0;
  uint32_t token_wires = 0;  // Of the system wirings, those that WiredRange tokens own.
  bool user_wired = false;
  // MappedRange tokens: they keep the entry mapped, and do not wire it.
  uint32_t holds = 0;

  // System wirings that an unwire call may take: a token's is the token's to give back.
  uint32_t OwnerlessWires() const { return system_wires - token_wires; }

  bool IsWired() const { return system_wires != 0 || user_wired; }
  // True if a system wiring or a token depends on the entry: it may be neither removed nor
  // replaced.
  bool IsHeld() const { return system_wires != 0 || holds != 0; }

  // The object's pages behind the entry.
  PageRun Pages() const { return {offset / kPageSize, offset / kPageSize + range.pages()}; }

  // The object's offset of `address`. REQUIRES: range.Contains(address).
  uint64_t OffsetOf(GuestAddress address) const {
    return offset + (address.value() - range.start().value());
  }
};

// True if the two could be one entry: `high` begins where `low` ends, in memory and in the object,
// and nothing else tells them apart.
bool CanMerge(const VmMapEntry& low, const VmMapEntry& high);

// "[0x0, 0x200000) rw- max rwx offset 0x0 wires 1 (tokens 1) user 0 holds 0"
std::string ToString(const VmMapEntry& entry);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_VM_MAP_ENTRY_H_
