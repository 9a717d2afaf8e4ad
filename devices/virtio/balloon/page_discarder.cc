#include "devices/virtio/balloon/page_discarder.h"

#include "absl/status/status.h"
#include "memory/address.h"
#include "memory/page_range.h"

namespace vmwire {

uint64_t PageDiscarder::Discard(uint64_t first, uint64_t pages) {
  const absl::Status status = port_.Discard(GuestRange::Between(
      GuestAddress(first * kPageSize), GuestAddress((first + pages) * kPageSize)));
  if (status.ok()) {
    discarded_.fetch_add(pages, std::memory_order_relaxed);
    return 0;
  }
  if (pages > 1) {
    const uint64_t half = pages / 2;
    const uint64_t outside = Discard(first, half);
    return outside + Discard(first + half, pages - half);
  }
  const bool outside = absl::IsNotFound(status);
  (outside ? outside_ : refused_).fetch_add(1, std::memory_order_relaxed);
  return outside ? 1 : 0;
}

}  // namespace vmwire
