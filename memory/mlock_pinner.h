// PinLevel::kResident: the range is locked, then faulted in. A lock keeps pages from being
// reclaimed; it does not keep their frames from moving.
//
// The lock comes first and on fault: so a limit is met before the first page is faulted in, and
// each page is locked as it arrives instead of in a second walk over all of them.
//
// Invariants: as Pinner.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_MLOCK_PINNER_H_
#define VMWIRE_MEMORY_MLOCK_PINNER_H_

#include <cstdint>
#include <optional>

#include "memory/host_memory.h"
#include "memory/lock_part.h"
#include "memory/pinner.h"
#include "memory/populate.h"

namespace vmwire {

class MlockPinner final : public Pinner {
 public:
  // `max_extents`: how many extents may be locked at a time; MaxLockedExtents of the host's
  // vm.max_map_count. REQUIRES: `host` outlives this object.
  MlockPinner(HostMemory& host, const PopulateOptions& populate, uint64_t max_extents = UINT64_MAX)
      : host_(host), populate_(populate), locks_(host, max_extents) {}

  PinLevel level() const override { return PinLevel::kResident; }
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinControl& control) override;
  void Unpin(const PinnedExtent& extent) override { locks_.Unlock(extent.host); }
  uint64_t FreeExtents() const override { return locks_.FreeExtents(); }
  std::optional<PinnedBuffer> BufferAt(const PinnedExtent&, HostAddress) const override {
    return std::nullopt;
  }

 private:
  HostMemory& host_;
  const PopulateOptions populate_;
  LockPart locks_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_MLOCK_PINNER_H_
