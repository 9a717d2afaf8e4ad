#include "devices/dma_leases.h"

#include <algorithm>
#include <utility>

#include "memory/status_macros.h"

namespace vmwire {

DmaLeases::DmaLeases(VmMap& map, const GuestRange& memory, uint64_t limit)
    : map_(map),
      memory_(memory),
      limit_(limit),
      granules_((memory.end().value() - 1) / kGranule - memory.start().value() / kGranule + 1),
      used_(std::make_unique<std::atomic<uint8_t>[]>(granules_)) {}

absl::Status DmaLeases::Wire(GuestAddress address, uint64_t size,
                             const std::function<absl::Status()>& check) {
  const Wanted wanted{IndexOf(address.value()), IndexOf(address.value() + size - 1)};
  const MutexLock lock(mutex_);
  VMWIRE_RETURN_IF_ERROR(check());
  ++stats_.misses;
  for (uint64_t i = wanted.first; i <= wanted.last && i < granules_; ++i) {
    if (!by_index_.contains(i)) VMWIRE_RETURN_IF_ERROR(WireGranule(i, wanted));
  }
  return absl::OkStatus();
}

absl::Status DmaLeases::WireGranule(uint64_t index, const Wanted& wanted) {
  const uint64_t base = AlignDown(memory_.start().value(), kGranule) + index * kGranule;
  const GuestRange granule =
      GuestRange::Between(GuestAddress(std::max(base, memory_.start().value())),
                          GuestAddress(std::min(base + kGranule, memory_.end().value())));
  while (stats_.kept_bytes + granule.size() > limit_ && EvictOne(wanted)) {
  }
  absl::StatusOr<WiredRange> wired = map_.Wire(granule, WireFlags::kHolesOk);
  // The budget is shared with others: what is kept here only in case is given up first.
  while (absl::IsResourceExhausted(wired.status()) && EvictOne(wanted)) {
    wired = map_.Wire(granule, WireFlags::kHolesOk);
  }
  if (!wired.ok()) return wired.status();
  if (wired->wired_bytes() == 0) return absl::OkStatus();  // All of it is a hole.
  ++stats_.granules;
  stats_.kept_bytes += wired->wired_bytes();
  used_[index].store(1, std::memory_order_relaxed);
  clock_.push_back({index, *std::move(wired)});
  by_index_[index] = std::prev(clock_.end());
  return absl::OkStatus();
}

bool DmaLeases::EvictOne(const Wanted& wanted) {
  // Once around gives each lease its second chance; in the next round the first goes.
  for (size_t left = 2 * clock_.size(); left > 0; --left) {
    const uint64_t index = clock_.front().index;
    if (wanted.Has(index) || used_[index].exchange(0, std::memory_order_relaxed) != 0) {
      clock_.splice(clock_.end(), clock_, clock_.begin());
      continue;
    }
    ++stats_.evictions;
    stats_.kept_bytes -= clock_.front().wired.wired_bytes();
    by_index_.erase(index);
    clock_.pop_front();
    return true;
  }
  return false;
}

void DmaLeases::Drop(const GuestRange& range) {
  const MutexLock lock(mutex_);
  for (auto it = clock_.begin(); it != clock_.end();) {
    if (!it->wired.range().Overlaps(range)) {
      ++it;
      continue;
    }
    stats_.kept_bytes -= it->wired.wired_bytes();
    by_index_.erase(it->index);
    it = clock_.erase(it);
  }
}

DmaLeaseStats DmaLeases::stats() const {
  const MutexLock lock(mutex_);
  return stats_;
}

}  // namespace vmwire
