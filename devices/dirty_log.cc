#include "devices/dirty_log.h"

#include <algorithm>
#include <bit>

namespace vmwire {
namespace {

constexpr uint64_t kBits = 64;

}  // namespace

DirtyLog::DirtyLog(const GuestRange& range)
    : range_(range), words_((range.pages() + kBits - 1) / kBits) {}

void DirtyLog::Mark(GuestAddress address, uint64_t size) {
  const uint64_t start = std::max(address.value(), range_.start().value());
  const uint64_t end = std::min(address.value() + size, range_.end().value());
  if (start >= end) return;
  const uint64_t first = (start - range_.start().value()) / kPageSize;
  const uint64_t last = (end - 1 - range_.start().value()) / kPageSize;
  for (uint64_t page = first; page <= last; ++page) {
    words_[page / kBits].fetch_or(uint64_t{1} << page % kBits, std::memory_order_release);
  }
}

std::vector<GuestAddress> DirtyLog::Take() {
  std::vector<GuestAddress> dirty;
  for (uint64_t i = 0; i < words_.size(); ++i) {
    if (words_[i].load(std::memory_order_relaxed) == 0) continue;
    uint64_t word = words_[i].exchange(0, std::memory_order_acquire);
    for (; word != 0; word &= word - 1) {
      const uint64_t page = i * kBits + static_cast<uint64_t>(std::countr_zero(word));
      dirty.push_back(GuestAddress(range_.start().value() + page * kPageSize));
    }
  }
  return dirty;
}

}  // namespace vmwire
