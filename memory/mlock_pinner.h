// PinLevel::kResident: the range is locked, then faulted in. A lock keeps pages from being
// reclaimed; it does not keep their frames from moving.
//
// The lock comes first and on fault: so a limit is met before the first page is faulted in, and
// each page is locked as it arrives instead of in a second walk over all of them.
//
// Invariants: as Pinner. The kernel's locks do not nest; PinTable counts.
// Thread safety: thread-compatible.
#ifndef VMWIRE_MEMORY_MLOCK_PINNER_H_
#define VMWIRE_MEMORY_MLOCK_PINNER_H_

#include "memory/host_memory.h"
#include "memory/pinner.h"
#include "memory/populate.h"

namespace vmwire {

class MlockPinner final : public Pinner {
 public:
  // REQUIRES: `host` outlives this object.
  MlockPinner(HostMemory& host, const PopulateOptions& populate)
      : host_(host), populate_(populate) {}

  PinLevel level() const override { return PinLevel::kResident; }
  absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinProgress& progress) override;
  void Unpin(const PinnedExtent& extent) override;

 private:
  HostMemory& host_;
  const PopulateOptions populate_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_MLOCK_PINNER_H_
