// PinLevel::kPinned: the range is faulted in and registered as io_uring buffers, each of which is a
// long-term pin: its frames do not move, and a device ring can do I/O straight into them.
//
// The table of buffers is made on the first Pin, so that a pinner which pins nothing costs nothing.
//
// Invariants: as Pinner. A slot of the table is free, or holds one piece of one extent.
// Thread safety: thread-compatible.
#ifndef VMWIRE_MEMORY_URING_PINNER_H_
#define VMWIRE_MEMORY_URING_PINNER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "memory/host_memory.h"
#include "memory/pinner.h"
#include "memory/populate.h"

namespace vmwire {

class UringPinner final : public Pinner {
 public:
  // `slots`: how many buffers the table has room for. REQUIRES: 0 < slots <= kMaxBuffers; `host`
  // outlives this object.
  UringPinner(HostMemory& host, const PopulateOptions& populate, uint32_t slots = kMaxBuffers)
      : host_(host), populate_(populate), slots_(slots) {}
  UringPinner(const UringPinner&) = delete;
  UringPinner& operator=(const UringPinner&) = delete;
  // REQUIRES: everything is unpinned.
  ~UringPinner() override;

  PinLevel level() const override { return PinLevel::kPinned; }
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinProgress& progress) override;
  void Unpin(const PinnedExtent& extent) override;

 private:
  absl::Status CreateTableOnce();
  absl::StatusOr<uint32_t> TakeSlot();
  absl::Status PinPiece(const HostRange& piece, PinnedExtent& extent);

  HostMemory& host_;
  const PopulateOptions populate_;
  const uint32_t slots_;
  std::optional<BufferTable> table_;
  uint32_t used_ = 0;               // Slots [0, used_) have been taken at least once;
  std::vector<uint32_t> released_;  // of those, these are free again.
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_URING_PINNER_H_
