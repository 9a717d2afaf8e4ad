// The words of one page, and vm_page_wire(9) over them: the conformance cases G of vm_page_wire(9)
// that the C++ API can be asked, by their numbers.
#include "memory/vm_page.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <thread>

#include "memory/page_array.h"
#include "memory/page_wiring.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using Step = VmPage::Step;

static_assert(sizeof(VmPage) == 8);
static_assert(kMaxWireCount == (uint32_t{1} << 30) - 1);
// The values of FreeBSD's PQ_*.
static_assert(static_cast<int>(PageQueue::kInactive) == 0);
static_assert(static_cast<int>(PageQueue::kActive) == 1);
static_assert(static_cast<int>(PageQueue::kLaundry) == 2);
static_assert(static_cast<int>(PageQueue::kUnswappable) == 3);
static_assert(static_cast<int>(PageQueue::kNone) == 255);

// The words by themselves; one thread, so that the object's mutex is not needed.
class VmPageTest : public testing::Test {
 protected:
  VmPage& NewPage(uint64_t index) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return object_->pages().Materialize(index);
  }

  TestMap test_;
  const std::shared_ptr<VmObject> object_ = test_.NewObject(20, MemoryBacking::kSimulated);
  VmPage& page_ = NewPage(7);
};

TEST_F(VmPageTest, NewPageIsNeitherResidentNorWiredNorOnAQueue) {
  EXPECT_EQ(page_.wire_count(), 0u);
  EXPECT_FALSE(page_.HasObject());
  EXPECT_FALSE(page_.IsBlocked());
  EXPECT_EQ(page_.queue(), PageQueue::kNone);
  EXPECT_EQ(page_.index(), 7u);
}

TEST_F(VmPageTest, StepsThatReachTheHostAreLeftToTheObject) {
  EXPECT_EQ(page_.WireAgain(), Step::kNeedsObject);
  EXPECT_EQ(page_.UnwireOneOfSeveral(), Step::kNotWired);

  page_.WireFirst();

  EXPECT_EQ(page_.UnwireOneOfSeveral(), Step::kNeedsObject);
  EXPECT_EQ(page_.WireAgain(), Step::kDone);
  EXPECT_EQ(page_.UnwireOneOfSeveral(), Step::kDone);
  EXPECT_EQ(page_.wire_count(), 1u);
}

TEST_F(VmPageTest, CountAtItsMaximumIsLeftAlone) {
  page_.WireFirst();
  page_.ForceWireCountForTesting(kMaxWireCount);

  EXPECT_EQ(page_.WireAgain(), Step::kAtLimit);

  EXPECT_EQ(page_.wire_count(), kMaxWireCount);
  EXPECT_FALSE(page_.IsBlocked());
  EXPECT_TRUE(page_.HasObject());
  EXPECT_EQ(page_.UnwireOneOfSeveral(), Step::kDone);
  EXPECT_EQ(page_.wire_count(), kMaxWireCount - 1);
}

TEST_F(VmPageTest, BlockedPageIsNotWiredAgainButUnwired) {
  page_.WireFirst();
  page_.WireAgain();
  page_.SetBlocked(true);

  EXPECT_EQ(page_.WireAgain(), Step::kBlocked);
  EXPECT_EQ(page_.UnwireOneOfSeveral(), Step::kDone);

  EXPECT_EQ(page_.wire_count(), 1u);
  EXPECT_TRUE(page_.IsBlocked());
}

TEST_F(VmPageTest, LastUnwiringOfAPageThatWasWiredAgainTakesOneOfTheTwo) {
  page_.WireFirst();
  page_.WireAgain();

  EXPECT_FALSE(page_.UnwireLast(PageQueue::kActive));

  EXPECT_EQ(page_.wire_count(), 1u);
  EXPECT_EQ(page_.queue(), PageQueue::kNone);
  EXPECT_TRUE(page_.UnwireLast(PageQueue::kActive));
  EXPECT_EQ(page_.queue(), PageQueue::kActive);
}

TEST_F(VmPageTest, WordsOfNeighboursAndTheIndexStayWhatTheyAre) {
  VmPage& low = NewPage(6);
  VmPage& high = NewPage(8);

  page_.WireFirst();
  page_.UnwireLast(PageQueue::kUnswappable);

  EXPECT_EQ(page_.index(), 7u);
  for (const VmPage* other : {&low, &high}) {
    EXPECT_EQ(other->wire_count(), 0u);
    EXPECT_EQ(other->queue(), PageQueue::kNone);
  }
}

// R is a page that is resident and not wired, Wn one with n wirings.
class PageLayerTest : public testing::TestWithParam<PinLevel> {
 protected:
  void SetUp() override {
    PinRequest request;
    ASSERT_THAT(pins().Wire(*object_, {3, 4}, request), IsOk());
    PinTable::Unwire(*object_, {3, 4});
    auto page = object_->FindResident(3);
    ASSERT_THAT(page, IsOk());
    page_ = *page;
    ASSERT_NE(page_, nullptr);
  }
  PinTable& pins() { return test_.pins(); }
  bool IsPinned() { return PinTable::IsPinned(*object_, 3); }

  TestMap test_{{.level = GetParam()}};
  const std::shared_ptr<VmObject> object_ = test_.NewObject(10);
  VmPage* page_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Levels, PageLayerTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(PageLayerTest, G01WiringAResidentPagePinsItAndTakesItOffItsQueue) {
  ASSERT_EQ(page_->queue(), PageQueue::kActive);

  ASSERT_THAT(WirePage(*page_, pins()), IsOk());

  EXPECT_EQ(page_->wire_count(), 1u);
  EXPECT_EQ(page_->queue(), PageQueue::kNone);
  EXPECT_EQ(test_.Pinned(*object_), "0001000000");
  UnwirePage(*page_, PageQueue::kActive);
}

TEST_P(PageLayerTest, G02SecondWiringDoesNotReachTheHost) {
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());
  test_.journal().Clear();

  ASSERT_THAT(WirePage(*page_, pins()), IsOk());

  EXPECT_EQ(page_->wire_count(), 2u);
  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
  EXPECT_EQ(test_.HostPinnedPages(), 1u);
  UnwirePage(*page_, PageQueue::kActive);
  UnwirePage(*page_, PageQueue::kActive);
}

TEST_P(PageLayerTest, G03UnwiringOneOfTwoPutsThePageOnNoQueue) {
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());

  UnwirePage(*page_, PageQueue::kInactive);

  EXPECT_EQ(page_->wire_count(), 1u);
  EXPECT_EQ(page_->queue(), PageQueue::kNone);
  EXPECT_TRUE(IsPinned());
  UnwirePage(*page_, PageQueue::kActive);
}

TEST_P(PageLayerTest, G04LastUnwiringUnpinsAndPutsThePageOnTheQueue) {
  for (const PageQueue queue :
       {PageQueue::kInactive, PageQueue::kActive, PageQueue::kLaundry, PageQueue::kUnswappable}) {
    ASSERT_THAT(WirePage(*page_, pins()), IsOk());

    UnwirePage(*page_, queue);

    EXPECT_EQ(page_->wire_count(), 0u);
    EXPECT_EQ(page_->queue(), queue);
    EXPECT_TRUE(page_->HasObject());
    EXPECT_EQ(test_.HostPinnedPages(), 0u);
  }
}

TEST_P(PageLayerTest, G09UnwiringToNoQueueTellsTheLastOne) {
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());

  EXPECT_FALSE(UnwirePageNoQueue(*page_));
  EXPECT_TRUE(UnwirePageNoQueue(*page_));

  EXPECT_EQ(page_->queue(), PageQueue::kNone);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(PageLayerTest, G10UnwiringAPageThatIsNotWiredIsOurCallersBug) {
  EXPECT_DEATH(UnwirePage(*page_, PageQueue::kActive), "page 0x3 of its object is not wired");
  EXPECT_DEATH(UnwirePageNoQueue(*page_), "is not wired");
}

TEST_P(PageLayerTest, G11WiringThroughAMappingIsRefusedWhileThePageIsTakenAway) {
  int refused = 0;
  // The journal outlives the page.
  const auto watching = std::make_shared<bool>(true);
  test_.journal().AddObserver([this, &refused, watching] {
    if (!*watching || !page_->IsBlocked()) return;
    EXPECT_THAT(WirePageMapped(*page_, pins()), StatusIs(StatusCode::kAborted, HasSubstr("0x3")));
    EXPECT_EQ(page_->wire_count(), 0u);
    ++refused;
  });

  const absl::Status discarded = object_->Discard({2, 5});
  *watching = false;

  ASSERT_THAT(discarded, IsOk());
  EXPECT_EQ(refused, 1);
  EXPECT_THAT(WirePageMapped(*page_, pins()), StatusIs(StatusCode::kAborted)) << "it is gone";
}

TEST_P(PageLayerTest, WiringThroughAMappingCountsAsWiringDoes) {
  ASSERT_THAT(WirePageMapped(*page_, pins()), IsOk());
  ASSERT_THAT(WirePageMapped(*page_, pins()), IsOk());

  EXPECT_EQ(page_->wire_count(), 2u);
  UnwirePage(*page_, PageQueue::kActive);
  UnwirePage(*page_, PageQueue::kActive);
}

TEST_P(PageLayerTest, G12WiredPageIsNotTakenAwayNorBlocked) {
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());

  EXPECT_THAT(object_->Discard({3, 4}), StatusIs(StatusCode::kFailedPrecondition));

  EXPECT_FALSE(page_->IsBlocked());
  EXPECT_TRUE(page_->HasObject());
  EXPECT_THAT(WirePageMapped(*page_, pins()), IsOk());
  UnwirePage(*page_, PageQueue::kActive);
  UnwirePage(*page_, PageQueue::kActive);
}

TEST_P(PageLayerTest, G13PageThatWasTakenAwayIsNotBlockedAfterwards) {
  ASSERT_THAT(object_->Discard({3, 4}), IsOk());

  EXPECT_FALSE(page_->IsBlocked());
  EXPECT_FALSE(page_->HasObject());
  EXPECT_EQ(page_->queue(), PageQueue::kNone);
  EXPECT_THAT(object_->FindResident(3), IsOk());
  EXPECT_EQ(*object_->FindResident(3), nullptr);
}

TEST_P(PageLayerTest, G18QueueOfAWiredPageCannotBeSet) {
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());

  for (const PageQueue queue : {PageQueue::kActive, PageQueue::kInactive, PageQueue::kLaundry}) {
    page_->SetQueue(queue);
    EXPECT_EQ(page_->queue(), PageQueue::kNone);
  }

  UnwirePage(*page_, PageQueue::kInactive);
  page_->SetQueue(PageQueue::kLaundry);
  EXPECT_EQ(page_->queue(), PageQueue::kLaundry);
}

TEST_P(PageLayerTest, G19WiringBeyondTheMaximumIsResourceExhausted) {
  ASSERT_THAT(WirePage(*page_, pins()), IsOk());
  page_->ForceWireCountForTesting(kMaxWireCount);

  EXPECT_THAT(WirePage(*page_, pins()),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("1073741823")));
  EXPECT_THAT(WirePageMapped(*page_, pins()), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(page_->wire_count(), kMaxWireCount);
  page_->ForceWireCountForTesting(1);
  UnwirePage(*page_, PageQueue::kActive);
}

TEST_P(PageLayerTest, FailureOfAnyHostCallLeavesThePageUnwired) {
  uint64_t failures = 0;
  for (uint64_t n = 1;; ++n) {
    test_.journal().FailNth(n, ENOMEM);
    const absl::Status wired = WirePage(*page_, pins());
    if (!test_.journal().failed()) break;
    ++failures;
    EXPECT_THAT(wired, StatusIs(StatusCode::kResourceExhausted)) << n;
    EXPECT_EQ(page_->wire_count(), 0u) << n;
    EXPECT_EQ(page_->queue(), PageQueue::kActive) << n;
    EXPECT_EQ(test_.HostPinnedPages(), 0u) << n;
  }
  test_.journal().FailNth(0, 0);
  EXPECT_GE(failures, 1u);
  UnwirePage(*page_, PageQueue::kActive);
}

// A small form of the 10^6 of the conformance case: each round meets a count of 0, 1 or 2.
TEST_P(PageLayerTest, G20WiringRacesWithTheLastUnwiring) {
  constexpr int kRounds = 20'000;
  const auto race = [this] {
    for (int i = 0; i < kRounds; ++i) {
      if (!WirePage(*page_, pins()).ok()) return ADD_FAILURE();
      if (page_->wire_count() == 0 || !IsPinned()) return ADD_FAILURE() << "round " << i;
      UnwirePage(*page_, PageQueue::kInactive);
    }
  };
  std::thread other(race);
  race();
  other.join();

  EXPECT_EQ(page_->wire_count(), 0u);
  EXPECT_EQ(page_->queue(), PageQueue::kInactive);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
}

// The page daemon of the pin cache looks at extents that nobody has wired only.
TEST(PageDaemonTest, G21WiredPageIsPassedOverByTheDaemon) {
  TestMap test({.cache_pages = 10});
  const auto object = test.NewObject(10);
  PinRequest request;
  ASSERT_THAT(test.pins().Wire(*object, {0, 2}, request), IsOk());
  PinTable::Unwire(*object, {0, 2}, PageQueue::kInactive);
  ASSERT_THAT(test.pins().Wire(*object, {1, 2}, request), IsOk());

  test.pins().DropCache();

  EXPECT_TRUE(PinTable::IsPinned(*object, 1));
  EXPECT_EQ(object->pages().Find(1)->queue(), PageQueue::kNone);
  EXPECT_EQ(test.pins().cache_stats().evictions, 0u);
  PinTable::Unwire(*object, {1, 2});
}

}  // namespace
}  // namespace vmwire
