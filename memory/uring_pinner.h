// PinLevel::kPinned: the range is faulted in and registered as io_uring buffers, each of which is a
// long-term pin: its frames do not move, and a device ring can do I/O straight into them.
//
// The table of buffers is made on the first Pin, so that a pinner which pins nothing costs nothing.
//
// Invariants: as Pinner. A slot of the table is free, or holds one piece of one extent.
// Thread safety: thread-compatible.
#ifndef VMWIRE_MEMORY_URING_PINNER_H_
#define VMWIRE_MEMORY_URING_PINNER_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "memory/host_memory.h"
#include "memory/pinner.h"
#include "memory/populate.h"

namespace vmwire {

class UringPinner final : public Pinner {
 public:
  // How long a kernel may take to un-charge what was given back: kernels before the rework of
  // io_uring's resource nodes (Linux 6.1 is one) do so up to a second later.
  static constexpr std::chrono::milliseconds kLateUnpin{2000};

  // `slots`: how many buffers the table has room for. `late_unpin`: for how long after an Unpin a
  // refused pin is tried again. REQUIRES: 0 < slots <= kMaxBuffers; `host` outlives this object.
  UringPinner(HostMemory& host, const PopulateOptions& populate, uint32_t slots = kMaxBuffers,
              std::chrono::milliseconds late_unpin = kLateUnpin)
      : host_(host), populate_(populate), slots_(slots), late_unpin_(late_unpin) {}
  UringPinner(const UringPinner&) = delete;
  UringPinner& operator=(const UringPinner&) = delete;
  // REQUIRES: everything is unpinned.
  ~UringPinner() override;

  PinLevel level() const override { return PinLevel::kPinned; }
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinProgress& progress) override;
  void Unpin(const PinnedExtent& extent) override;

 private:
  absl::Status CreateTableOnce();
  absl::StatusOr<uint32_t> TakeSlot(const HostRange& piece);
  absl::Status PinPiece(const HostRange& piece, PinnedExtent& extent);

  HostMemory& host_;
  const PopulateOptions populate_;
  const uint32_t slots_;
  const std::chrono::milliseconds late_unpin_;
  std::optional<BufferTable> table_;
  // Slots below used_ were taken at least once; those of them that are free again are in released_.
  uint32_t used_ = 0;
  std::vector<uint32_t> released_;
  // When a buffer was last cleared.
  std::chrono::steady_clock::time_point last_clear_ = {};
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_URING_PINNER_H_
