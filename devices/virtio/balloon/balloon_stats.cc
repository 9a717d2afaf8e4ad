#include "devices/virtio/balloon/balloon_stats.h"

#include <algorithm>
#include <cstring>

namespace vmwire {
namespace {

// By tag (5.5.6.4).
constexpr const char* kNames[] = {
    "guest_swap_in_bytes", "guest_swap_out_bytes", "guest_major_faults", "guest_minor_faults",
    "guest_free_bytes",    "guest_total_bytes",    "guest_usable_bytes", "guest_disk_cache_bytes",
    "guest_huge_pages",    "guest_huge_failures",
};

}  // namespace

void BalloonStats::Update(std::span<const std::byte> entries) {
  static_assert(std::size(kNames) == kTags);
  std::array<std::optional<uint64_t>, kTags> values;
  const size_t count = std::min(entries.size() / kEntryBytes, kMaxEntries);
  for (size_t i = 0; i < count; ++i) {
    const std::byte* entry = entries.data() + i * kEntryBytes;
    uint16_t tag;
    uint64_t value;
    std::memcpy(&tag, entry, sizeof(tag));
    std::memcpy(&value, entry + sizeof(tag), sizeof(value));
    if (tag < kTags) values[tag] = value;
  }
  MutexLock lock(mutex_);
  values_ = values;
  ++updates_;
}

void BalloonStats::AppendTo(std::vector<DeviceCounter>& counters) const {
  MutexLock lock(mutex_);
  counters.emplace_back("stats_updates", updates_);
  for (size_t tag = 0; tag < kTags; ++tag) {
    if (values_[tag].has_value()) counters.emplace_back(kNames[tag], *values_[tag]);
  }
}

}  // namespace vmwire
