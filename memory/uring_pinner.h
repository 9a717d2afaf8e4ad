// PinLevel::kPinned: the range is faulted in and registered as io_uring buffers, each of which is a
// long-term pin: its frames do not move, and a device ring can do I/O straight into them.
//
// Invariants: as Pinner.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_URING_PINNER_H_
#define VMWIRE_MEMORY_URING_PINNER_H_

#include <cstdint>
#include <optional>

#include "memory/buffer_part.h"
#include "memory/host_memory.h"
#include "memory/pinner.h"
#include "memory/populate.h"

namespace vmwire {

class UringPinner final : public Pinner {
 public:
  // REQUIRES: `host` outlives this object; everything is unpinned before this object goes.
  UringPinner(HostMemory& host, const PopulateOptions& populate, const BufferOptions& options = {})
      : buffers_(host, populate, options) {}

  PinLevel level() const override { return PinLevel::kPinned; }
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinControl& control) override;
  void Unpin(const PinnedExtent& extent) override { buffers_.Clear(extent.buffers); }
  uint64_t FreeExtents() const override { return buffers_.FreeSlots(); }
  std::optional<PinnedBuffer> BufferAt(const PinnedExtent& extent,
                                       HostAddress address) const override {
    return buffers_.BufferAt(extent.host, extent.buffers, address);
  }

 private:
  BufferPart buffers_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_URING_PINNER_H_
