#include "memory/guarded_pinner.h"

#include <utility>

namespace vmwire {

absl::StatusOr<PinnedExtent> GuardedPinner::Pin(const HostRange& range, const PinControl& control) {
  absl::StatusOr<SlotList> slots = buffers_.Reserve(range);
  if (!slots.ok()) {
    if (control.failed_at != nullptr) *control.failed_at = range.start();
    return std::move(slots).status();
  }
  if (absl::Status locked = locks_.Lock(range); !locked.ok()) {
    if (control.failed_at != nullptr) *control.failed_at = range.start();
    buffers_.Return(*slots);
    return locked;
  }
  if (absl::Status filled = buffers_.Fill(range, *slots, control); !filled.ok()) {
    locks_.Unlock(range);
    buffers_.Return(*slots);
    return filled;
  }
  return PinnedExtent{range, *std::move(slots)};
}

void GuardedPinner::Unpin(const PinnedExtent& extent) {
  buffers_.Clear(extent.buffers);
  locks_.Unlock(extent.host);
}

}  // namespace vmwire
