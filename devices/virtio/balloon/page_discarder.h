// Gives pages of the guest back to the host as far as it is allowed, and counts how far that was.
//
// A run is discarded at once. If that is refused, its halves are tried, down to single pages: one
// page that is wired or held for DMA stays, and keeps no other.
//
// Invariants: keeps no list of pages: what the guest names, and how often, costs no memory.
// Thread safety: Discard from one thread; the counts from any.
#ifndef VMWIRE_DEVICES_VIRTIO_BALLOON_PAGE_DISCARDER_H_
#define VMWIRE_DEVICES_VIRTIO_BALLOON_PAGE_DISCARDER_H_

#include <atomic>
#include <cstdint>

#include "devices/dma_port.h"

namespace vmwire {

class PageDiscarder {
 public:
  // The longest run of one call, 2 MiB.
  static constexpr uint64_t kMaxRun = 512;

  // REQUIRES: `port` outlives this object.
  explicit PageDiscarder(DmaPort& port) : port_(port) {}
  PageDiscarder(const PageDiscarder&) = delete;
  PageDiscarder& operator=(const PageDiscarder&) = delete;

  // Discards the `pages` pages from page number `first` on; returns how many of them are no memory.
  // REQUIRES: 0 < pages <= kMaxRun; the end of the run is within 64 bits.
  uint64_t Discard(uint64_t first, uint64_t pages);

  // Pages so far: given back; not, being wired, held or otherwise not to be had; and that are no
  // memory. A page that comes twice counts twice.
  uint64_t discarded() const { return discarded_.load(std::memory_order_relaxed); }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  uint64_t outside() const { return outside_.load(std::memory_order_relaxed); }

 private:
  DmaPort& port_;
  std::atomic<uint64_t> discarded_ = 0;
  std::atomic<uint64_t> refused_ = 0;
  std::atomic<uint64_t> outside_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BALLOON_PAGE_DISCARDER_H_
