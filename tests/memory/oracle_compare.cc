// OracleRound: the comparison of the whole state after each operation.
#include <algorithm>
#include <optional>

#include "tests/memory/oracle_limits.h"
#include "tests/memory/oracle_round.h"
#include "tests/support/status_matchers.h"

namespace vmwire {

using oracle::kEnd;
using oracle::kFirst;
using oracle::kObjectPages;
using oracle::kObjects;

std::vector<OracleRound::Extent> OracleRound::Extents(size_t object) {
  const std::vector<bool> held = model_.Held(object);
  std::vector<Extent> extents;
  ObjectPins& pins = objects_[object]->pins();
  const MutexLock lock(pins.mutex);
  for (const auto& [first, extent] : pins.extents) {
    const bool any_held = std::any_of(held.begin() + static_cast<ptrdiff_t>(first),
                                      held.begin() + static_cast<ptrdiff_t>(extent.end),
                                      [](bool page) { return page; });
    extents.push_back({{first, extent.end}, extent.state, extent.wired_pages, any_held});
  }
  return extents;
}

bool OracleRound::IsPinned(size_t object, uint64_t page, bool by_cache_too) {
  ObjectPins& pins = objects_[object]->pins();
  const MutexLock lock(pins.mutex);
  const auto extent = pins.FirstEndingAfter(page);
  return extent != pins.extents.end() && extent->first <= page &&
         (by_cache_too || extent->second.state != PinExtent::State::kCached);
}

void OracleRound::ExpectReport(const WireReport& report, const absl::Status& status,
                               const ModelPlan& plan) {
  EXPECT_EQ(report.pages_wired, status.ok() ? plan.wired : 0u);
  EXPECT_EQ(report.pages_skipped, status.ok() ? plan.skipped : 0u);
  EXPECT_EQ(report.failure == WireFailure::kNone, status.ok()) << status;
}

void OracleRound::Finish() {
  holds_.clear();
  tokens_.clear();
  kept_.clear();
  const WireFlags all = WireFlags::kSystem | WireFlags::kHolesOk;
  while (AnySystemWires()) ASSERT_THAT(map().UnwireRange(Pages(kFirst, kEnd), all), IsOk());
  ASSERT_THAT(map().Remove(Pages(kFirst, kEnd)), IsOk());
  ASSERT_THAT(map().CheckInvariants(), IsOk());
  test_.pins().DropCache();
  EXPECT_EQ(map().entry_count(), 0u);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
  for (const auto& object : objects_) EXPECT_EQ(object.use_count(), 1);
}

bool OracleRound::AnySystemWires() {
  for (uint64_t page = kFirst; page < kEnd; ++page) {
    const std::optional<VmMapEntry> entry = map().Lookup(Page(page));
    if (entry.has_value() && entry->system_wires != 0) return true;
  }
  return false;
}

void OracleRound::Compare() {
  EXPECT_THAT(map().CheckInvariants(), IsOk());
  CompareEntries();
  for (size_t object = 0; object < kObjects; ++object) ComparePins(object);
  CompareSums();
  if (testing::Test::HasFailure()) FAIL() << map().ToString();
}

void OracleRound::CompareEntries() {
  const std::vector<ModelRange> entries = model_.Entries();
  EXPECT_EQ(map().entry_count(), entries.size());
  for (const ModelRange& range : entries) {
    const std::optional<VmMapEntry> entry = map().Lookup(Page(range.first));
    ASSERT_TRUE(entry.has_value()) << range.first;
    const ModelPage& page = *model_.At(range.first);
    EXPECT_EQ(entry->range, Pages(range.first, range.end));
    EXPECT_EQ(entry->object, page.guard ? nullptr : objects_[page.object]);
    EXPECT_EQ(entry->offset, page.guard ? 0 : page.object_page * kPageSize);
    EXPECT_EQ(entry->protection, page.protection);
    EXPECT_EQ(entry->max_protection, page.max_protection);
    EXPECT_EQ(entry->system_wires, page.system_wires());
    EXPECT_EQ(entry->token_wires, page.token_wires);
    EXPECT_EQ(entry->user_wired, page.user_wired);
    EXPECT_EQ(entry->mapped_tokens, page.mapped_tokens);
    EXPECT_EQ(entry->transition, nullptr);
  }
}

void OracleRound::ComparePins(size_t object) {
  VmObject& real = *objects_[object];
  const std::vector<bool> in_host = test_.host().PinnedPages(real.host_range());
  const std::vector<uint32_t> wires = model_.WireCounts(object);
  for (uint64_t page = 0; page < kObjectPages; ++page) {
    const bool pinned = PinTable::IsPinned(real, page);
    EXPECT_EQ(real.pages().WireCount(page), wires[page]) << object << " page " << page;
    EXPECT_EQ(in_host[page], pinned) << object << " page " << page;
    EXPECT_TRUE(pinned || wires[page] == 0) << object << " page " << page;
    const VmPage* found = real.pages().Find(page);
    if (found == nullptr) continue;
    EXPECT_FALSE(found->IsBlocked()) << object << " page " << page;
    EXPECT_TRUE(wires[page] == 0 || found->queue() == PageQueue::kNone) << object << " " << page;
  }
  CompareExtents(object, wires);
}

// What is pinned is wired, or in an extent with a page that is, or held, or cached.
void OracleRound::CompareExtents(size_t object, const std::vector<uint32_t>& wires) {
  for (const Extent& extent : Extents(object)) {
    uint64_t wired = 0;
    for (uint64_t page = extent.run.first; page < extent.run.end; ++page)
      wired += wires[page] != 0 ? 1 : 0;
    EXPECT_EQ(extent.wired_pages, wired) << object << " at page " << extent.run.first;
    bool right = false;
    switch (extent.state) {
      case PinExtent::State::kPinned:
        right = wired != 0;
        break;
      case PinExtent::State::kHeld:
        right = wired == 0 && extent.held;
        break;
      case PinExtent::State::kCached:
        right = wired == 0 && options_.cache;
        break;
      default:
        break;
    }
    EXPECT_TRUE(right) << object << " at page " << extent.run.first << " state "
                       << static_cast<int>(extent.state);
  }
}

void OracleRound::CompareSums() {
  uint64_t cached_pages = 0;
  uint64_t cached_extents = 0;
  for (size_t object = 0; object < kObjects; ++object) {
    for (const Extent& extent : Extents(object)) {
      if (extent.state != PinExtent::State::kCached) continue;
      cached_pages += extent.run.end - extent.run.first;
      ++cached_extents;
    }
  }
  const PinCacheStats stats = test_.pins().cache_stats();
  EXPECT_EQ(stats.cached_bytes, cached_pages * kPageSize);
  EXPECT_EQ(stats.cached_extents, cached_extents);
  EXPECT_LE(cached_pages, options_.cache ? oracle::kCachePages : 0);
  EXPECT_EQ(map().user_wired_pages(), model_.UserWiredPages());
  EXPECT_EQ(test_.pins().pinned_bytes(), test_.HostPinnedPages() * kPageSize);
  EXPECT_EQ(test_.budget().used(), test_.HostPinnedPages() * kPageSize);
}

}  // namespace vmwire
