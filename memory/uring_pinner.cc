#include "memory/uring_pinner.h"

#include <utility>

namespace vmwire {

absl::StatusOr<PinnedExtent> UringPinner::Pin(const HostRange& range, const PinControl& control) {
  absl::StatusOr<SlotList> slots = buffers_.Reserve(range);
  if (!slots.ok()) {
    if (control.failed_at != nullptr) *control.failed_at = range.start();
    return std::move(slots).status();
  }
  if (absl::Status filled = buffers_.Fill(range, *slots, control); !filled.ok()) {
    buffers_.Return(*slots);
    return filled;
  }
  return PinnedExtent{range, *std::move(slots)};
}

}  // namespace vmwire
