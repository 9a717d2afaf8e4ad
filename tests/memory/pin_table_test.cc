#include "memory/pin_table.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "memory/hold_table.h"
#include "memory/mlock_pinner.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

// The table by itself, at both levels: the map of TestMap stays empty.
class PinTableTest : public testing::TestWithParam<PinLevel> {
 protected:
  static constexpr uint64_t kBudgetPages = 12;

  absl::Status Wire(uint64_t first, uint64_t end) {
    PinRequest request;
    return pins().Wire(*object_, {first, end}, request);
  }
  void Unwire(uint64_t first, uint64_t end) { pins().Unwire(*object_, {first, end}); }
  PinTable& pins() { return test_.pins(); }
  uint64_t budget_pages() { return test_.budget().used() / kPageSize; }

  TestMap test_{{.level = GetParam(), .budget_pages = kBudgetPages}};
  const std::shared_ptr<VmObject> object_ = test_.NewObject(20);
};

INSTANTIATE_TEST_SUITE_P(Levels, PinTableTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(PinTableTest, WirePinsChargesAndCounts) {
  ASSERT_THAT(Wire(2, 5), IsOk());

  EXPECT_EQ(test_.Pinned(*object_), "00111000000000000000");
  EXPECT_EQ(budget_pages(), 3u);
  EXPECT_EQ(pins().pinned_bytes(), 3 * kPageSize);
  EXPECT_EQ(object_->pages().WireCount(2), 1u);
  EXPECT_EQ(object_->pages().WireCount(5), 0u);
  EXPECT_TRUE(pins().IsPinned(*object_, 4));
  EXPECT_FALSE(pins().IsPinned(*object_, 5));
  Unwire(2, 5);
}

TEST_P(PinTableTest, SecondWireOfTheSamePagesDoesNotReachTheHost) {
  ASSERT_THAT(Wire(2, 5), IsOk());
  test_.journal().Clear();

  ASSERT_THAT(Wire(2, 5), IsOk());

  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
  EXPECT_EQ(object_->pages().WireCount(3), 2u);
  EXPECT_EQ(budget_pages(), 3u);
  Unwire(2, 5);
  EXPECT_EQ(test_.HostPinnedPages(), 3u);
  Unwire(2, 5);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(PinTableTest, OverlappingWirePinsOnlyWhatIsMissing) {
  ASSERT_THAT(Wire(4, 6), IsOk());

  EXPECT_EQ(PinTable::MissingIn(*object_, {2, 9}).pages, 5u);
  ASSERT_THAT(Wire(2, 9), IsOk());

  const std::string call = GetParam() == PinLevel::kPinned ? "set buffer" : "lock";
  EXPECT_THAT(test_.journal().EntriesWith(call), testing::SizeIs(3));
  EXPECT_EQ(test_.HostPinnedPages(), 7u);
  EXPECT_EQ(budget_pages(), 7u);
  Unwire(2, 9);
  Unwire(4, 6);
}

TEST_P(PinTableTest, PartialUnwireKeepsTheExtentUntilItsLastPage) {
  ASSERT_THAT(Wire(0, 6), IsOk());

  Unwire(0, 3);
  Unwire(4, 6);

  EXPECT_EQ(test_.HostPinnedPages(), 6u);
  EXPECT_EQ(budget_pages(), 6u);
  EXPECT_EQ(object_->pages().WireCount(0), 0u);
  EXPECT_TRUE(pins().IsPinned(*object_, 0));
  Unwire(3, 4);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(budget_pages(), 0u);
}

TEST_P(PinTableTest, PageOfALiveExtentIsWiredAgainWithoutTheHost) {
  ASSERT_THAT(Wire(0, 6), IsOk());
  Unwire(0, 3);
  test_.journal().Clear();

  ASSERT_THAT(Wire(1, 2), IsOk());
  Unwire(3, 6);

  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
  EXPECT_EQ(test_.HostPinnedPages(), 6u);
  Unwire(1, 2);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(PinTableTest, UnwireAcrossExtentsReleasesEachWhoseLastPageGoes) {
  ASSERT_THAT(Wire(0, 2), IsOk());
  ASSERT_THAT(Wire(2, 4), IsOk());
  ASSERT_THAT(Wire(4, 6), IsOk());

  Unwire(1, 5);

  EXPECT_EQ(test_.Pinned(*object_).substr(0, 6), "110011");
  EXPECT_EQ(budget_pages(), 4u);
  Unwire(0, 1);
  Unwire(5, 6);
}

TEST_P(PinTableTest, FailureAtAnyHostCallUndoesTheEarlierOnes) {
  ASSERT_THAT(Wire(2, 3), IsOk());
  ASSERT_THAT(Wire(5, 6), IsOk());
  const std::string before = test_.State();
  uint64_t failures = 0;
  for (uint64_t n = 1;; ++n) {
    test_.journal().FailNth(n, ENOMEM);
    const absl::Status wired = Wire(0, 8);
    if (!test_.journal().failed()) break;
    ++failures;
    EXPECT_THAT(wired, StatusIs(StatusCode::kResourceExhausted)) << n;
    EXPECT_EQ(test_.State(), before) << n;
    EXPECT_EQ(object_->pages().WireCount(2), 1u) << n;
  }
  // Three runs are missing, with a host call each or more.
  EXPECT_GE(failures, 3u);
  test_.journal().FailNth(0, 0);
  Unwire(0, 8);
  Unwire(2, 3);
  Unwire(5, 6);
}

TEST_P(PinTableTest, BudgetExceededAtALaterExtentUndoesTheEarlierOnes) {
  ASSERT_THAT(Wire(4, 5), IsOk());
  const std::string before = test_.State();

  EXPECT_THAT(Wire(0, kBudgetPages + 1),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("the test's limit")));

  EXPECT_EQ(test_.State(), before);
  Unwire(4, 5);
}

TEST_P(PinTableTest, RunPastTheObjectIsOutOfRange) {
  EXPECT_THAT(Wire(19, 21), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(Wire(20, 21), StatusIs(StatusCode::kOutOfRange));

  EXPECT_EQ(budget_pages(), 0u);
}

TEST_P(PinTableTest, ProgressSumsOverTheMissingRuns) {
  ASSERT_THAT(Wire(2, 3), IsOk());
  std::vector<uint64_t> told;
  PinRequest request{.progress = [&told](uint64_t bytes) {
    told.push_back(bytes / kPageSize);
    return true;
  }};

  ASSERT_THAT(pins().Wire(*object_, {0, 6}, request), IsOk());

  EXPECT_THAT(told, ElementsAre(2, 5));
  Unwire(0, 6);
  Unwire(2, 3);
}

TEST_P(PinTableTest, StopAtTheSecondRunUndoesTheFirst) {
  ASSERT_THAT(Wire(2, 3), IsOk());
  const std::string before = test_.State();

  PinRequest request{.progress = [](uint64_t bytes) { return bytes <= 2 * kPageSize; }};

  EXPECT_THAT(pins().Wire(*object_, {0, 6}, request), StatusIs(StatusCode::kCancelled));

  EXPECT_EQ(test_.State(), before);
  Unwire(2, 3);
}

TEST_P(PinTableTest, ObjectsAreCountedApart) {
  const std::shared_ptr<VmObject> other = test_.NewObject(20);
  ASSERT_THAT(Wire(0, 2), IsOk());
  PinRequest request;
  ASSERT_THAT(pins().Wire(*other, {1, 3}, request), IsOk());

  Unwire(0, 2);

  EXPECT_EQ(object_->pages().WireCount(1), 0u);
  EXPECT_EQ(other->pages().WireCount(1), 1u);
  EXPECT_EQ(test_.HostPinnedPages(), 2u);
  pins().Unwire(*other, {1, 3});
}

TEST_P(PinTableTest, ObjectMappedTwiceIsPinnedAndChargedOnce) {
  ASSERT_THAT(test_.MapPages(0, 4, object_, 0), IsOk());
  ASSERT_THAT(test_.MapPages(10, 14, object_, 2), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange low, test_.map().Wire(Pages(0, 4)));
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange high, test_.map().Wire(Pages(10, 14)));
    EXPECT_EQ(object_->pages().WireCount(3), 2u);
    EXPECT_EQ(object_->pages().WireCount(5), 1u);
    EXPECT_EQ(test_.HostPinnedPages(), 6u);
    EXPECT_EQ(budget_pages(), 6u);
  }
  EXPECT_EQ(object_->pages().WireCount(3), 1u);
  EXPECT_EQ(test_.HostPinnedPages(), 4u);
}

TEST_P(PinTableTest, HeldExtentsAreLetGoOneByOneAsTheirHoldsEnd) {
  std::vector<HoldSlot*> holds;
  for (uint64_t page = 0; page < kBudgetPages; ++page) {
    ASSERT_THAT(Wire(page, page + 1), IsOk());
    holds.push_back(HoldTable::Publish(nullptr, Pages(page, page + 1), object_.get(), page));
  }

  Unwire(0, kBudgetPages);

  uint64_t left = kBudgetPages;
  EXPECT_EQ(test_.HostPinnedPages(), left);
  for (HoldSlot* hold : holds) {
    HoldTable::Release(hold);
    EXPECT_EQ(test_.HostPinnedPages(), --left);
  }
}

TEST_P(PinTableTest, UnwireOfWhatIsNotWiredIsOurBug) {
  EXPECT_DEATH(Unwire(0, 1), "are not wired");
}

TEST_P(PinTableTest, DeathWithAWiringLeftIsOurBug) {
  EXPECT_DEATH(
      {
        WireBudget budget({});
        MlockPinner pinner(test_.host(), {});
        std::optional<PinTable> table(std::in_place, pinner, budget);
        PinRequest request;
        table->Wire(*object_, {0, 1}, request).IgnoreError();
        table.reset();
      },
      "still wired or held when their pin table dies");
}

}  // namespace
}  // namespace vmwire
