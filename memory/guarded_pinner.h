// PinLevel::kGuarded: the range is locked and registered as io_uring buffers. The registration
// keeps its frames from moving; the lock makes the kernel refuse what would take the frames from
// their addresses. Neither does what the other does.
//
// The order: slots of the table, the lock (on fault), then the registration, which faults in. So
// what can be refused for want of slots, of mappings or of the limit on locks is refused before the
// first fault; each page is locked as it arrives; and nothing is faulted in twice.
//
// Invariants: as Pinner.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_GUARDED_PINNER_H_
#define VMWIRE_MEMORY_GUARDED_PINNER_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "memory/buffer_part.h"
#include "memory/host_memory.h"
#include "memory/lock_part.h"
#include "memory/pinner.h"
#include "memory/populate.h"

namespace vmwire {

class GuardedPinner final : public Pinner {
 public:
  // `max_extents`: as for MlockPinner. REQUIRES: `host` outlives this object; everything is
  // unpinned before this object goes.
  GuardedPinner(HostMemory& host, const PopulateOptions& populate,
                uint64_t max_extents = UINT64_MAX, const BufferOptions& options = {})
      : locks_(host, max_extents), buffers_(host, populate, options) {}

  PinLevel level() const override { return PinLevel::kGuarded; }
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinControl& control) override;
  void Unpin(const PinnedExtent& extent) override;
  uint64_t FreeExtents() const override {
    return std::min(locks_.FreeExtents(), buffers_.FreeSlots());
  }
  std::optional<PinnedBuffer> BufferAt(const PinnedExtent& extent,
                                       HostAddress address) const override {
    return buffers_.BufferAt(extent.host, extent.buffers, address);
  }

 private:
  LockPart locks_;
  BufferPart buffers_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_GUARDED_PINNER_H_
