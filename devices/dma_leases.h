// Guest memory that was wired because a device mapped it, and is kept wired in case that it maps it
// again: the policy on-demand.
//
//   first use   granule of 2 MiB wired, kept    microseconds: a fault and a pin, or a hit in the
//                                               pin cache of the map's table
//   hit         it is wired: a hold does        as with the policy all, and one load of a byte
//   too many    clock: the first that was not used since the last look is given up; its pages stay
//               in the pin cache for as long as that keeps them
//
// A lease is no hold: it may be given up under a transfer, whose own hold keeps the pages.
//
// Lock order: the mutex is taken before those of the map, and is held over the wiring of a granule
// and the release of another: misses wait for each other, hits do not. Nothing that a wiring or a
// release calls comes back here, and no lock of a device is taken under it.
// Invariants: at most one lease a granule; their bytes are within the limit, but for the granules
// of the mapping that is being made.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_DMA_LEASES_H_
#define VMWIRE_DEVICES_DMA_LEASES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "memory/mutex.h"
#include "memory/page_range.h"
#include "memory/vm_map.h"
#include "memory/wired_range.h"

namespace vmwire {

struct DmaLeaseStats {
  uint64_t misses = 0;     // Mappings for which something had to be wired.
  uint64_t granules = 0;   // Wired for them.
  uint64_t evictions = 0;  // Leases given up for want of room.
  uint64_t kept_bytes = 0;
};

class DmaLeases {
 public:
  static constexpr uint64_t kGranule = kHugePageSize;

  // Keeps at most `limit` bytes of what lies in `memory` wired. REQUIRES: `map` outlives this.
  DmaLeases(VmMap& map, const GuestRange& memory, uint64_t limit);
  DmaLeases(const DmaLeases&) = delete;
  DmaLeases& operator=(const DmaLeases&) = delete;

  // Says that [address, address + size) was used.
  void Touch(GuestAddress address, uint64_t size) {
    const uint64_t first = IndexOf(address.value());
    const uint64_t last = IndexOf(address.value() + size - 1);
    for (uint64_t i = first; i <= last && i < granules_; ++i) {
      // Read first, so that a line that nobody changes is shared by all.
      if (used_[i].load(std::memory_order_relaxed) == 0) {
        used_[i].store(1, std::memory_order_relaxed);
      }
    }
  }

  // Wires the granules of [address, address + size); holes in them are passed over. `check` is
  // called under the mutex, before anything is wired: an error of it is the result. Errors else as
  // VmMap::Wire; what was wired before stays. REQUIRES: size > 0; the end does not wrap.
  absl::Status Wire(GuestAddress address, uint64_t size,
                    const std::function<absl::Status()>& check);

  // Gives up the leases that overlap `range`.
  void Drop(const GuestRange& range);

  DmaLeaseStats stats() const;

 private:
  struct Lease {
    uint64_t index;
    WiredRange wired;
  };
  using Leases = std::list<Lease>;

  // Which granule; past granules_ if it is not in memory_.
  uint64_t IndexOf(uint64_t address) const {
    return address / kGranule - memory_.start().value() / kGranule;
  }
  // The granules of a mapping that is being made, which are not given up for each other.
  struct Wanted {
    uint64_t first;
    uint64_t last;
    bool Has(uint64_t index) const { return first <= index && index <= last; }
  };
  absl::Status WireGranule(uint64_t index, const Wanted& wanted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives up one lease that is not wanted. False: there is none.
  bool EvictOne(const Wanted& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  VmMap& map_;
  const GuestRange memory_;
  const uint64_t limit_;
  const uint64_t granules_;
  const std::unique_ptr<std::atomic<uint8_t>[]> used_;
  mutable Mutex mutex_;
  Leases clock_ ABSL_GUARDED_BY(mutex_);  // The hand is at the front.
  std::map<uint64_t, Leases::iterator> by_index_ ABSL_GUARDED_BY(mutex_);
  DmaLeaseStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_LEASES_H_
