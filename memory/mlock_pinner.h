// PinLevel::kResident: the range is locked, then faulted in. A lock keeps pages from being
// reclaimed; it does not keep their frames from moving.
//
// The lock comes first and on fault: so a limit is met before the first page is faulted in, and
// each page is locked as it arrives instead of in a second walk over all of them.
//
// Giving a part of a locked range back may split its mapping in three, and the kernel refuses that
// at vm.max_map_count: so there is a limit on locked extents, met when one is taken and never when
// one is given back.
//
// Invariants: as Pinner. The kernel's locks do not nest; PinTable counts.
// Thread safety: thread-compatible.
#ifndef VMWIRE_MEMORY_MLOCK_PINNER_H_
#define VMWIRE_MEMORY_MLOCK_PINNER_H_

#include <cstdint>

#include "memory/host_memory.h"
#include "memory/pinner.h"
#include "memory/populate.h"

namespace vmwire {

// How many extents can be locked so that giving back any of them, in any order, stays below
// `max_map_count` mappings of the process.
uint64_t MaxLockedExtents(uint64_t max_map_count);

class MlockPinner final : public Pinner {
 public:
  // `max_extents`: how many extents may be locked at a time; MaxLockedExtents of the host's
  // vm.max_map_count. REQUIRES: `host` outlives this object.
  MlockPinner(HostMemory& host, const PopulateOptions& populate, uint64_t max_extents = UINT64_MAX)
      : host_(host), populate_(populate), max_extents_(max_extents) {}

  PinLevel level() const override { return PinLevel::kResident; }
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinProgress& progress) override;
  void Unpin(const PinnedExtent& extent) override;

 private:
  HostMemory& host_;
  const PopulateOptions populate_;
  const uint64_t max_extents_;
  uint64_t extents_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_MLOCK_PINNER_H_
