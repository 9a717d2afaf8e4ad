// The pin cache, through the PinTable that has it: what stays pinned after the last unwire, what it
// makes room for, and in which order.
#include "memory/pin_cache.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_format.h"
#include "memory/page_wiring.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr uint64_t kBudgetPages = 12;
constexpr uint64_t kCachePages = 8;

class PinCacheTest : public testing::TestWithParam<PinLevel> {
 protected:
  absl::Status Wire(uint64_t first, uint64_t end) {
    PinRequest request;
    return pins().Wire(*object_, {first, end}, request);
  }
  void Unwire(uint64_t first, uint64_t end, PageQueue queue = PageQueue::kActive) {
    PinTable::Unwire(*object_, {first, end}, queue);
  }
  // An extent of its own, cached.
  void Cache(uint64_t first, uint64_t end, PageQueue queue) {
    ASSERT_THAT(Wire(first, end), IsOk());
    Unwire(first, end, queue);
  }
  PinTable& pins() { return test_.pins(); }
  std::string Pinned() { return test_.Pinned(*object_); }
  // "hits misses evictions cached extents"; bytes in pages.
  std::string Stats() {
    const PinCacheStats stats = pins().cache_stats();
    return absl::StrFormat("%d hits %d misses %d evictions %d pages in %d", stats.hits,
                           stats.misses, stats.evictions, stats.cached_bytes / kPageSize,
                           stats.cached_extents);
  }

  TestMap test_{{.level = GetParam(), .budget_pages = kBudgetPages, .cache_pages = kCachePages}};
  std::shared_ptr<VmObject> object_ = test_.NewObject(20);
};

INSTANTIATE_TEST_SUITE_P(Levels, PinCacheTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST(PinCacheDefaultTest, CacheIsOffUnlessAskedFor) {
  TestMap test;
  const auto object = test.NewObject(4);
  PinRequest request;
  ASSERT_THAT(test.pins().Wire(*object, {0, 4}, request), IsOk());

  PinTable::Unwire(*object, {0, 4});

  EXPECT_EQ(PinCacheOptions{}.capacity_bytes, 0u);
  EXPECT_EQ(test.HostPinnedPages(), 0u);
  EXPECT_EQ(test.pins().cache_stats().misses, 0u);
}

TEST_P(PinCacheTest, LastUnwireLeavesTheExtentPinnedChargedAndOnItsQueue) {
  for (const PageQueue queue :
       {PageQueue::kInactive, PageQueue::kActive, PageQueue::kLaundry, PageQueue::kUnswappable}) {
    ASSERT_THAT(Wire(2, 5), IsOk());

    Unwire(2, 5, queue);

    EXPECT_EQ(Pinned(), "00111000000000000000");
    EXPECT_EQ(test_.budget().used(), 3 * kPageSize);
    EXPECT_EQ(object_->pages().WireCount(2), 0u);
    EXPECT_EQ(object_->pages().Find(4)->queue(), queue);
  }
  EXPECT_EQ(Stats(), "3 hits 1 misses 0 evictions 3 pages in 1");
}

TEST_P(PinCacheTest, HitDoesNotReachTheHost) {
  Cache(2, 5, PageQueue::kActive);
  test_.journal().Clear();

  ASSERT_THAT(Wire(2, 5), IsOk());

  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
  EXPECT_EQ(Stats(), "1 hits 1 misses 0 evictions 0 pages in 0");
  EXPECT_EQ(object_->pages().Find(3)->queue(), PageQueue::kNone);
  Unwire(2, 5);
}

TEST_P(PinCacheTest, HitOfOnePageTakesTheWholeExtentOutOfTheCache) {
  Cache(2, 5, PageQueue::kInactive);

  ASSERT_THAT(Wire(3, 4), IsOk());
  pins().DropCache();

  EXPECT_EQ(Pinned(), "00111000000000000000");
  EXPECT_EQ(Stats(), "1 hits 1 misses 0 evictions 0 pages in 0");
  Unwire(3, 4);
  EXPECT_EQ(Stats(), "1 hits 1 misses 0 evictions 3 pages in 1");
}

TEST_P(PinCacheTest, ExtentWithAWiredPageLeftIsNotCached) {
  ASSERT_THAT(Wire(2, 5), IsOk());

  Unwire(2, 4);
  EXPECT_EQ(Stats(), "0 hits 1 misses 0 evictions 0 pages in 0");
  Unwire(4, 5);

  EXPECT_EQ(Stats(), "0 hits 1 misses 0 evictions 3 pages in 1");
}

TEST_P(PinCacheTest, WiringAcrossACachedExtentIsAHitAndMisses) {
  Cache(4, 6, PageQueue::kActive);

  ASSERT_THAT(Wire(2, 8), IsOk());

  EXPECT_EQ(Stats(), "1 hits 3 misses 0 evictions 0 pages in 0");
  EXPECT_EQ(test_.HostPinnedPages(), 6u);
  Unwire(2, 8);
}

TEST_P(PinCacheTest, ExtentAboveTheCapacityIsLetGoAtOnce) {
  ASSERT_THAT(Wire(0, kCachePages + 1), IsOk());

  Unwire(0, kCachePages + 1);

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(Stats(), "0 hits 1 misses 0 evictions 0 pages in 0");
}

TEST_P(PinCacheTest, CapacityIsKeptByLettingTheOldestGo) {
  Cache(0, 4, PageQueue::kActive);
  Cache(4, 8, PageQueue::kActive);
  EXPECT_EQ(Stats(), "0 hits 2 misses 0 evictions 8 pages in 2");

  Cache(8, 10, PageQueue::kActive);

  EXPECT_EQ(Pinned(), "00001111110000000000");
  EXPECT_EQ(Stats(), "0 hits 3 misses 1 evictions 6 pages in 2");
}

TEST_P(PinCacheTest, BudgetTakesInactiveThenLaundryThenActiveThenUnswappable) {
  Cache(0, 1, PageQueue::kUnswappable);
  Cache(1, 2, PageQueue::kActive);
  Cache(2, 3, PageQueue::kLaundry);
  Cache(3, 4, PageQueue::kInactive);
  ASSERT_THAT(Wire(10, 18), IsOk());
  EXPECT_EQ(Pinned().substr(0, 5), "11110");

  ASSERT_THAT(Wire(18, 19), IsOk());
  EXPECT_EQ(Pinned().substr(0, 5), "11100");
  ASSERT_THAT(Wire(19, 20), IsOk());
  EXPECT_EQ(Pinned().substr(0, 5), "11000");
  ASSERT_THAT(Wire(4, 5), IsOk());
  EXPECT_EQ(Pinned().substr(0, 5), "10001");
  ASSERT_THAT(Wire(5, 6), IsOk());
  EXPECT_EQ(Pinned().substr(0, 6), "000011");

  EXPECT_EQ(pins().cache_stats().evictions, 4u);
  Unwire(10, 20);
  Unwire(4, 6);
}

TEST_P(PinCacheTest, ActiveExtentThatWasWiredAgainHasASecondChance) {
  Cache(0, 1, PageQueue::kActive);
  Cache(1, 2, PageQueue::kActive);
  Cache(2, 3, PageQueue::kActive);
  // These two come behind the third, and have their chance.
  Cache(0, 1, PageQueue::kActive);
  Cache(1, 2, PageQueue::kActive);

  pins().Reclaim(kPageSize);
  EXPECT_EQ(Pinned().substr(0, 3), "110");
  // The chance of both is used up now: the older goes.
  pins().Reclaim(kPageSize);

  EXPECT_EQ(Pinned().substr(0, 3), "010");
  EXPECT_EQ(Stats(), "2 hits 3 misses 2 evictions 1 pages in 1");
}

TEST_P(PinCacheTest, SecondChanceIsOfActiveExtentsOnly) {
  Cache(0, 1, PageQueue::kInactive);
  Cache(0, 1, PageQueue::kInactive);
  Cache(1, 2, PageQueue::kInactive);

  pins().Reclaim(kPageSize);

  EXPECT_EQ(Pinned().substr(0, 2), "01");
}

TEST_P(PinCacheTest, ReclaimFreesAtLeastWhatIsAskedAndNoMoreExtentsThanNeeded) {
  Cache(0, 3, PageQueue::kInactive);
  Cache(3, 5, PageQueue::kInactive);
  Cache(5, 6, PageQueue::kInactive);

  pins().Reclaim(4 * kPageSize);

  EXPECT_EQ(Pinned().substr(0, 6), "000001");
}

TEST_P(PinCacheTest, DropCacheLetsEverythingGo) {
  Cache(0, 3, PageQueue::kUnswappable);
  Cache(5, 6, PageQueue::kActive);

  pins().DropCache();

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
  EXPECT_EQ(pins().pinned_bytes(), 0u);
  EXPECT_EQ(Stats(), "0 hits 2 misses 2 evictions 0 pages in 0");
}

TEST_P(PinCacheTest, PreflightCountsWhatTheCacheWouldGiveBack) {
  Cache(0, 8, PageQueue::kActive);
  test_.Add(0, 12);

  EXPECT_THAT(test_.map().WireRange(Pages(0, 12), WireFlags::kUser), IsOk());

  EXPECT_EQ(Stats(), "0 hits 2 misses 1 evictions 0 pages in 0");
}

TEST_P(PinCacheTest, PreflightDoesNotCountWhatTheRequestItselfNeedsOfTheCache) {
  ASSERT_THAT(Wire(12, 17), IsOk());
  Cache(4, 8, PageQueue::kActive);
  ASSERT_THAT(test_.MapPages(0, 8, object_), IsOk());
  test_.journal().Clear();

  EXPECT_THAT(test_.map().WireRange(Pages(0, 8), WireFlags::kUser),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty()) << "8 pages never fit beside 5 of 12";
  EXPECT_THAT(test_.map().WireRange(Pages(1, 8), WireFlags::kUser), IsOk());
  Unwire(12, 17);
}

TEST_P(PinCacheTest, HostThatRefusesIsAskedAgainOnceTheCacheGaveWay) {
  Cache(0, 4, PageQueue::kActive);
  test_.host().SetMemlockLimit(6 * kPageSize);

  ASSERT_THAT(Wire(10, 15), IsOk());

  EXPECT_EQ(Pinned(), "00000000001111100000");
  EXPECT_EQ(pins().cache_stats().evictions, 1u);
  Unwire(10, 15);
}

TEST_P(PinCacheTest, CachedExtentsOfADyingObjectAreLetGo) {
  Cache(0, 4, PageQueue::kUnswappable);
  Cache(6, 7, PageQueue::kActive);

  object_.reset();

  EXPECT_EQ(test_.host().mappings(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
  EXPECT_EQ(Stats(), "0 hits 2 misses 0 evictions 0 pages in 0");
}

TEST_P(PinCacheTest, LastUnwireOfAnOrphanIsNotCached) {
  ASSERT_THAT(Wire(0, 1), IsOk());
  VmPage* const page = object_->pages().Find(0);
  object_.reset();
  ASSERT_EQ(test_.host().mappings(), 1u);

  UnwirePage(*page, PageQueue::kActive);

  EXPECT_EQ(test_.host().mappings(), 0u);
  EXPECT_EQ(Stats(), "0 hits 1 misses 0 evictions 0 pages in 0");
}

TEST_P(PinCacheTest, DiscardTakesCachedPagesOutFirst) {
  Cache(0, 4, PageQueue::kUnswappable);
  Cache(6, 7, PageQueue::kActive);

  ASSERT_THAT(object_->Discard({2, 5}), IsOk());

  EXPECT_EQ(Pinned(), "00000010000000000000");
  EXPECT_EQ(Stats(), "0 hits 2 misses 0 evictions 1 pages in 1");
  EXPECT_EQ(test_.budget().used(), kPageSize);
}

TEST_P(PinCacheTest, HeldExtentThatIsEvictedStaysPinnedUntilTheRelease) {
  ASSERT_THAT(test_.MapPages(0, 4, object_), IsOk());
  ASSERT_THAT(test_.map().WireRange(Pages(0, 4), WireFlags::kSystem), IsOk());
  auto held = test_.map().Hold(Page(1), kPageSize, Protection::kRead);
  ASSERT_THAT(held, IsOk());
  std::optional<HeldRange> hold = *std::move(held);
  ASSERT_THAT(test_.map().UnwireRange(Pages(0, 4), WireFlags::kSystem), IsOk());
  EXPECT_EQ(Stats(), "0 hits 1 misses 0 evictions 4 pages in 1");

  pins().DropCache();
  EXPECT_EQ(test_.HostPinnedPages(), 4u);
  EXPECT_EQ(Stats(), "0 hits 1 misses 0 evictions 0 pages in 0");
  hold.reset();

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
}

TEST_P(PinCacheTest, DiscardOfAnotherPageOfAHeldCachedExtentIsRefused) {
  ASSERT_THAT(test_.MapPages(0, 4, object_), IsOk());
  ASSERT_THAT(test_.map().WireRange(Pages(0, 4), WireFlags::kSystem), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held,
                                test_.map().Hold(Page(3), kPageSize, Protection::kRead));
    ASSERT_THAT(test_.map().UnwireRange(Pages(0, 4), WireFlags::kSystem), IsOk());

    EXPECT_THAT(object_->Discard({0, 1}), StatusIs(StatusCode::kFailedPrecondition));

    EXPECT_EQ(test_.HostPinnedPages(), 4u);
  }
  EXPECT_THAT(object_->Discard({0, 1}), IsOk());
}

TEST_P(PinCacheTest, HeldExtentThatIsEvictedCanBeWiredAgain) {
  ASSERT_THAT(test_.MapPages(0, 4, object_), IsOk());
  ASSERT_THAT(test_.map().WireRange(Pages(0, 4), WireFlags::kSystem), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held,
                                test_.map().Hold(Page(1), kPageSize, Protection::kRead));
    ASSERT_THAT(test_.map().UnwireRange(Pages(0, 4), WireFlags::kSystem), IsOk());
    pins().DropCache();
    test_.journal().Clear();
    ASSERT_THAT(test_.map().WireRange(Pages(0, 4), WireFlags::kUser), IsOk());
  }
  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
  EXPECT_EQ(test_.HostPinnedPages(), 4u);
}

TEST_P(PinCacheTest, FailedWiringLeavesWhatItTookOutOfTheCacheCachedAgain) {
  Cache(0, 3, PageQueue::kInactive);
  test_.journal().FailNth(1, EAGAIN, UINT64_MAX);

  EXPECT_THAT(Wire(0, 6), StatusIs(StatusCode::kUnavailable));

  test_.journal().FailNth(0, 0);
  EXPECT_EQ(Pinned().substr(0, 6), "111000");
  EXPECT_EQ(pins().cache_stats().cached_extents, 1u);
  EXPECT_EQ(object_->pages().WireCount(0), 0u);
}

TEST_P(PinCacheTest, UnwireOverTwoTablesKeepsTheCapacityOfBoth) {
  WireBudget budget({});
  const std::unique_ptr<Pinner> pinner = MakePinner(GetParam(), test_.host());
  PinTable small(*pinner, budget, {.capacity_bytes = 2 * kPageSize});
  PinRequest request;
  for (uint64_t page = 0; page < 3; ++page) {
    ASSERT_THAT(small.Wire(*object_, {page, page + 1}, request), IsOk());
  }
  ASSERT_THAT(Wire(3, 4), IsOk());

  Unwire(0, 4);

  EXPECT_EQ(small.cache_stats().cached_extents, 2u);
  EXPECT_EQ(pins().cache_stats().cached_extents, 1u);
}

// The budget is charged for what is kept of simulated pages, and that is what their eviction frees.
TEST(PinCacheSimulatedTest, CachedBytesAreThoseThatTheBudgetIsChargedFor) {
  TestMap test({.cache_pages = 4});
  const auto object = test.NewObject(1024, MemoryBacking::kSimulated);
  PinRequest request;
  ASSERT_THAT(test.pins().Wire(*object, {0, 1024}, request), IsOk());

  PinTable::Unwire(*object, {0, 1024});

  EXPECT_EQ(test.pins().cache_stats().cached_bytes, test.budget().used());
  EXPECT_EQ(test.pins().cache_stats().cached_bytes, 1024 * sizeof(VmPage));
}

}  // namespace
}  // namespace vmwire
