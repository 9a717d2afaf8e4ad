// The memory slots of one VM. A slot is made of a token that proves its memory, and of nothing
// else: "wired before slot" is the type of Install's argument.
//
// Slots are never moved, resized or changed: one that should be otherwise is deleted and made anew.
//
// Invariants: live slots do not overlap and have distinct ids below the VM's limit; each is known
// to KVM with the range, the host address and the flags that its backing says.
//
// Thread safety: thread-compatible. To delete a slot takes micro- to milliseconds: never on a path
// that pins or does DMA.
#ifndef VMWIRE_VMM_SLOT_TABLE_H_
#define VMWIRE_VMM_SLOT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

#include "absl/status/statusor.h"
#include "memory/page_range.h"
#include "memory/wire_policy.h"
#include "vmm/memory_slot.h"
#include "vmm/vm.h"

namespace vmwire {

class SlotTable {
 public:
  // REQUIRES: `vm` outlives the table.
  explicit SlotTable(const Vm& vm) : vm_(vm) {}
  SlotTable(const SlotTable&) = delete;
  SlotTable& operator=(const SlotTable&) = delete;
  // REQUIRES: no slot is live.
  ~SlotTable();

  // Makes guest memory out of `backing`, at its guest range. A backing that is not writable becomes
  // a read-only slot: a guest's write to it is an MMIO exit. The right to execute cannot be
  // withheld by a slot.
  //
  // AlreadyExists: it overlaps a live slot; both ranges are named. PermissionDenied: the memory is
  // not readable. FailedPrecondition: it is not one piece of host memory with one protection.
  // ResourceExhausted: as many slots are live as the VM can have, or KVM has no memory for one.
  // Unimplemented: read-only, and this KVM has no read-only slots. Any error of
  // KvmApi::SetUserMemoryRegion. On failure the backing is released and nothing else has changed.
  absl::StatusOr<MemorySlot> Install(SlotBacking backing);

  size_t live_slots() const { return live_.size(); }
  uint32_t limit() const { return vm_.slot_limit(); }

 private:
  friend class MemorySlot;

  struct Live {
    uint32_t id;
    GuestRange range;
  };

  absl::Status CheckFree(const GuestRange& range) const;
  uint32_t LowestFreeId() const;
  void TakeId(uint32_t id);
  void Delete(uint32_t id, GuestAddress start);

  const Vm& vm_;
  std::map<GuestAddress, Live> live_;  // By start.
  uint32_t next_id_ = 0;               // No id from here on was ever used.
  std::set<uint32_t> free_ids_;        // Those below that are not live.
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_SLOT_TABLE_H_
