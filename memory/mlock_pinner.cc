#include "memory/mlock_pinner.h"

namespace vmwire {

absl::StatusOr<PinnedExtent> MlockPinner::Pin(const HostRange& range, const PinControl& control) {
  if (absl::Status locked = locks_.Lock(range); !locked.ok()) {
    if (control.failed_at != nullptr) *control.failed_at = range.start();
    return locked;
  }
  if (absl::Status populated = Populate(host_, range, populate_, control); !populated.ok()) {
    locks_.Unlock(range);
    return populated;
  }
  return PinnedExtent{range, {}};
}

}  // namespace vmwire
