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
  const uint64_t first = IndexOf(address.value());
  const uint64_t last = IndexOf(address.value() + size - 1);
  const MutexLock lock(mutex_);
  VMWIRE_RETURN_IF_ERROR(check());
  ++stats_.misses;
  for (uint64_t i = first; i <= last && i < granules_; ++i) {
    if (!by_index_.contains(i)) VMWIRE_RETURN_IF_ERROR(WireGranule(i));
  }
  return absl::OkStatus();
}

absl::Status DmaLeases::WireGranule(uint64_t index) {
  const uint64_t base = AlignDown(memory_.start().value(), kGranule) + index * kGranule;
  const GuestRange granule =
      GuestRange::Between(GuestAddress(std::max(base, memory_.start().value())),
                          GuestAddress(std::min(base + kGranule, memory_.end().value())));
  MakeRoom(granule.size());
  absl::StatusOr<WiredRange> wired = map_.Wire(granule, WireFlags::kHolesOk);
  // The budget is shared with others: what is kept here only in case is given up first.
  while (absl::IsResourceExhausted(wired.status()) && EvictOne()) {
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

bool DmaLeases::MakeRoom(uint64_t more) {
  while (stats_.kept_bytes + more > limit_) {
    if (!EvictOne()) return false;
  }
  return true;
}

bool DmaLeases::EvictOne() {
  // Once around gives every lease its second chance; then the first goes.
  for (size_t left = clock_.size(); left > 0; --left) {
    std::atomic<uint8_t>& used = used_[clock_.front().index];
    if (used.exchange(0, std::memory_order_relaxed) == 0) break;
    clock_.splice(clock_.end(), clock_, clock_.begin());
  }
  if (clock_.empty()) return false;
  ++stats_.evictions;
  stats_.kept_bytes -= clock_.front().wired.wired_bytes();
  by_index_.erase(clock_.front().index);
  clock_.pop_front();
  return true;
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
