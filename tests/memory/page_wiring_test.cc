#include "memory/page_wiring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "memory/page_array.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::IsEmpty;

// An object of 8 pages, all of them resident and none wired, behind the guest pages [0, 8).
class PageWiringTest : public testing::Test {
 protected:
  PageWiringTest() {
    EXPECT_THAT(test_.map().WireRange(Pages(0, 8), WireFlags::kSystem), IsOk());
    EXPECT_THAT(test_.map().UnwireRange(Pages(0, 8), WireFlags::kSystem), IsOk());
    test_.journal().Clear();
  }

  VmPage& PageOf(uint64_t page) { return *object_->pages().Find(page); }
  absl::Status Wire(uint64_t page) { return WirePage(PageOf(page), test_.pins()); }
  absl::Status WireMapped(uint64_t page) { return WirePageMapped(PageOf(page), test_.pins()); }
  // Sets the BLOCKED bit, as a discard does while it is under way.
  void SetBlocked(uint64_t page, bool blocked) {
    const MutexLock lock(object_->pins().mutex);
    PageOf(page).SetBlocked(blocked);
  }

  TestMap test_{{.level = PinLevel::kGuarded, .budget_pages = 16}};
  std::shared_ptr<VmObject> object_ = test_.Add(0, 8);
};

TEST_F(PageWiringTest, TheFirstWiringPinsThePageAndChargesIt) {
  ASSERT_THAT(Wire(3), IsOk());

  EXPECT_EQ(test_.Pinned(*object_), "00010000");
  EXPECT_EQ(test_.budget().used(), kPageSize);
  EXPECT_EQ(PageOf(3).wire_count(), 1u);
  EXPECT_EQ(PageOf(3).queue(), PageQueue::kNone);
  UnwirePage(PageOf(3), PageQueue::kActive);
}

TEST_F(PageWiringTest, FurtherWiringsDoNotReachTheHost) {
  ASSERT_THAT(Wire(3), IsOk());
  test_.journal().Clear();

  ASSERT_THAT(Wire(3), IsOk());
  ASSERT_THAT(WireMapped(3), IsOk());
  UnwirePage(PageOf(3), PageQueue::kActive);
  EXPECT_FALSE(UnwirePageNoQueue(PageOf(3)));

  EXPECT_THAT(test_.journal().entries(), IsEmpty());
  EXPECT_EQ(PageOf(3).wire_count(), 1u);
  UnwirePage(PageOf(3), PageQueue::kActive);
}

TEST_F(PageWiringTest, TheLastUnwiringUnpinsThePageAndQueuesIt) {
  ASSERT_THAT(Wire(3), IsOk());

  UnwirePage(PageOf(3), PageQueue::kLaundry);

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
  EXPECT_EQ(PageOf(3).queue(), PageQueue::kLaundry);
}

TEST_F(PageWiringTest, UnwiringWithoutAQueueTellsTheLastWiring) {
  ASSERT_THAT(Wire(3), IsOk());

  EXPECT_TRUE(UnwirePageNoQueue(PageOf(3)));

  EXPECT_EQ(PageOf(3).queue(), PageQueue::kNone);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_F(PageWiringTest, AnObjectThatWasNeverPinnedUsesTheFallback) {
  const std::shared_ptr<VmObject> fresh = test_.NewObject(2);
  VmPage* page = nullptr;
  {
    const MutexLock lock(fresh->pins().mutex);
    page = &fresh->pages().Materialize(1);
    page->SetObject(true);
  }

  ASSERT_THAT(WirePage(*page, test_.pins()), IsOk());

  EXPECT_EQ(fresh->last_table(), &test_.pins());
  EXPECT_EQ(test_.Pinned(*fresh), "01");
  UnwirePage(*page, PageQueue::kActive);
}

TEST_F(PageWiringTest, AFirstWiringBeyondTheBudgetIsRefusedAndLeavesThePage) {
  const std::shared_ptr<VmObject> big = test_.Add(8, 24);
  ASSERT_THAT(test_.map().WireRange(Pages(8, 24), WireFlags::kSystem), IsOk());

  EXPECT_THAT(Wire(3), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(PageOf(3).wire_count(), 0u);
  EXPECT_EQ(PageOf(3).queue(), PageQueue::kActive);
  EXPECT_THAT(test_.map().UnwireRange(Pages(8, 24), WireFlags::kSystem), IsOk());
}

TEST_F(PageWiringTest, WiringAtTheMaximumIsResourceExhausted) {
  ASSERT_THAT(Wire(3), IsOk());
  PageOf(3).ForceWireCountForTesting(kMaxWireCount);

  EXPECT_THAT(Wire(3), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(WireMapped(3), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(PageOf(3).wire_count(), kMaxWireCount);
  PageOf(3).ForceWireCountForTesting(1);
  UnwirePage(PageOf(3), PageQueue::kActive);
}

TEST_F(PageWiringTest, WiringABlockedPageThroughAMappingIsAborted) {
  SetBlocked(3, true);

  EXPECT_THAT(WireMapped(3), StatusIs(StatusCode::kAborted));

  SetBlocked(3, false);
  EXPECT_EQ(PageOf(3).wire_count(), 0u);
}

TEST_F(PageWiringTest, WiringADiscardedPageThroughAMappingIsAborted) {
  ASSERT_THAT(object_->Discard({0, 8}), IsOk());

  EXPECT_THAT(WireMapped(3), StatusIs(StatusCode::kAborted));
}

TEST_F(PageWiringTest, APageThatOnlyItselfWiresIsNotHeldThroughTheMap) {
  ASSERT_THAT(test_.map().WireRange(Pages(0, 8), WireFlags::kSystem), IsOk());
  ASSERT_THAT(Wire(3), IsOk());
  ASSERT_THAT(test_.map().UnwireRange(Pages(0, 8), WireFlags::kSystem), IsOk());

  EXPECT_THAT(test_.map().Hold(Page(3), kPageSize, Protection::kRead).status(),
              StatusIs(StatusCode::kFailedPrecondition));

  UnwirePage(PageOf(3), PageQueue::kActive);
}

TEST_F(PageWiringTest, AnOrphanedObjectGoesWithItsLastWiring) {
  VmPage& page = PageOf(3);
  ASSERT_THAT(Wire(3), IsOk());
  ASSERT_THAT(test_.map().Remove(Pages(0, 8)), IsOk());
  object_.reset();
  ASSERT_EQ(page.wire_count(), 1u);
  test_.journal().Clear();

  EXPECT_TRUE(UnwirePageNoQueue(page));

  EXPECT_THAT(test_.journal().EntriesWith("unmap"), testing::SizeIs(1));
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_F(PageWiringTest, WiringsFromTwoThreadsAddUp) {
  constexpr int kRounds = 2000;
  const auto wire_and_unwire = [this] {
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_THAT(Wire(3), IsOk());
      EXPECT_GE(PageOf(3).wire_count(), 1u);
      UnwirePage(PageOf(3), PageQueue::kInactive);
    }
  };
  std::thread other(wire_and_unwire);
  wire_and_unwire();
  other.join();

  EXPECT_EQ(PageOf(3).wire_count(), 0u);
  EXPECT_EQ(PageOf(3).queue(), PageQueue::kInactive);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_F(PageWiringTest, UnwiringAPageThatIsNotWiredEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");

  EXPECT_DEATH(UnwirePage(PageOf(3), PageQueue::kActive), "page 0x3 of its object is not wired");
}

}  // namespace
}  // namespace vmwire
