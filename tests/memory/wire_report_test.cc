// WireReport: what a wiring did, or why it did nothing, for each reason there is.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <stop_token>

#include "absl/strings/cord.h"
#include "memory/page_array.h"
#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr WireFlags kSystem = WireFlags::kSystem;
constexpr WireFlags kUser = WireFlags::kUser;
constexpr WireFlags kHoles = WireFlags::kSystem | WireFlags::kHolesOk;

class WireReportTest : public testing::TestWithParam<PinLevel> {
 protected:
  void TearDown() override {
    EXPECT_THAT(map().CheckInvariants(), IsOk());
    while (map().wired_pages() != 0) {
      ASSERT_THAT(map().UnwireRange(Pages(0, 1000), kHoles), IsOk());
      ASSERT_THAT(map().UnwireRange(Pages(0, 1000), kUser | WireFlags::kHolesOk), IsOk());
    }
  }
  VmMap& map() { return test_.map(); }
  // What is there before each call must not matter.
  void Dirty() { report_ = {WireFailure::kHole, Page(77), 7, 7, 7, 7}; }
  absl::Status Wire(uint64_t first, uint64_t end, WireFlags flags = kSystem,
                    WireOptions options = {}) {
    Dirty();
    options.report = &report_;
    return map().WireRange(Pages(first, end), flags, options);
  }
  void ExpectFailure(WireFailure failure, std::optional<GuestAddress> at) {
    EXPECT_EQ(report_.failure, failure);
    EXPECT_EQ(report_.failed_at, at);
    EXPECT_EQ(report_.pages_wired, 0u);
    EXPECT_EQ(report_.pages_skipped, 0u);
    if (failure == WireFailure::kLimit) return;
    EXPECT_EQ(report_.needed, 0u);
    EXPECT_EQ(report_.available, 0u);
  }
  void ExpectLimit(uint64_t at, uint64_t needed, uint64_t available) {
    ExpectFailure(WireFailure::kLimit, Page(at));
    EXPECT_EQ(report_.needed, needed);
    EXPECT_EQ(report_.available, available);
  }
  void ExpectDone(uint64_t wired, uint64_t skipped) {
    EXPECT_EQ(report_.failure, WireFailure::kNone);
    EXPECT_FALSE(report_.failed_at.has_value());
    EXPECT_EQ(report_.pages_wired, wired);
    EXPECT_EQ(report_.pages_skipped, skipped);
  }

  TestMap test_{{.level = GetParam(),
                 .budget_pages = 20,
                 .first_page = 5,
                 .user_limit_pages = 15,
                 .max_system_wires = 2}};
  WireReport report_;
};

INSTANTIATE_TEST_SUITE_P(Levels, WireReportTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(WireReportTest, PagesWiredAndSkippedAreThoseInsideTheMap) {
  test_.Add(5, 10);
  test_.Add(10, 12, Protection::kNone);
  ASSERT_THAT(map().MapGuard(Pages(12, 13)), IsOk());
  test_.Add(14, 16);

  ASSERT_THAT(Wire(0, 20, kHoles), IsOk());

  ExpectDone(7, 8);
}

TEST_P(WireReportTest, NestedWiringCountsItsPagesToo) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  ExpectDone(10, 0);

  ASSERT_THAT(Wire(10, 20), IsOk());

  ExpectDone(10, 0);
}

TEST_P(WireReportTest, RepeatedUserWiringReportsThatItsPagesAreWired) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 15, kUser), IsOk());

  ASSERT_THAT(Wire(10, 20, kUser), IsOk());

  ExpectDone(10, 0);
}

TEST_P(WireReportTest, RangeOutsideTheMapHasNoPages) {
  ASSERT_THAT(Wire(0, 5, kHoles), IsOk());
  ExpectDone(0, 0);
  ASSERT_THAT(Wire(0, 5), StatusIs(StatusCode::kNotFound));
  ExpectFailure(WireFailure::kHole, Page(0));
}

TEST_P(WireReportTest, HoleIsNamedByItsFirstPage) {
  test_.Add(10, 15);
  test_.Add(17, 20);

  ASSERT_THAT(Wire(10, 20), StatusIs(StatusCode::kNotFound));
  ExpectFailure(WireFailure::kHole, Page(15));
  ASSERT_THAT(Wire(8, 12), StatusIs(StatusCode::kNotFound));
  ExpectFailure(WireFailure::kHole, Page(8));
  ASSERT_THAT(Wire(18, 30), StatusIs(StatusCode::kNotFound));
  ExpectFailure(WireFailure::kHole, Page(20));
}

TEST_P(WireReportTest, MissingRightsAreToldApart) {
  test_.Add(10, 15);
  test_.Add(15, 20, Protection::kWrite);
  test_.Add(20, 25, Protection::kRead);

  ASSERT_THAT(Wire(12, 20), StatusIs(StatusCode::kPermissionDenied));
  ExpectFailure(WireFailure::kUnreadable, Page(15));
  ASSERT_THAT(Wire(17, 20), StatusIs(StatusCode::kPermissionDenied));
  ExpectFailure(WireFailure::kUnreadable, Page(17));
  ASSERT_THAT(Wire(22, 25, kSystem | WireFlags::kWrite), StatusIs(StatusCode::kPermissionDenied));
  ExpectFailure(WireFailure::kNotWritable, Page(22));
}

TEST_P(WireReportTest, UserLimitSaysWhatIsNeededAndLeft) {
  test_.Add(10, 30);
  ASSERT_THAT(Wire(10, 22, kUser), IsOk());

  ASSERT_THAT(Wire(12, 28, kUser), StatusIs(StatusCode::kResourceExhausted));
  ExpectLimit(12, 6, 3);
  map().SetUserWireLimit(4);
  ASSERT_THAT(Wire(22, 23, kUser), StatusIs(StatusCode::kResourceExhausted));
  ExpectLimit(22, 1, 0);
}

TEST_P(WireReportTest, BudgetSaysWhatIsNeededAndLeft) {
  test_.Add(10, 40);
  ASSERT_THAT(Wire(10, 18), IsOk());

  ASSERT_THAT(Wire(10, 40), StatusIs(StatusCode::kResourceExhausted));

  ExpectLimit(10, 22, 12);
}

TEST_P(WireReportTest, CountOfAnEntryAtItsMaximum) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(14, 16), IsOk());
  ASSERT_THAT(Wire(14, 16), IsOk());

  ASSERT_THAT(Wire(10, 20), StatusIs(StatusCode::kResourceExhausted));

  ExpectFailure(WireFailure::kCountMaximum, Page(14));
}

TEST_P(WireReportTest, CountOfAPageAtItsMaximum) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(test_.MapPages(30, 40, object), IsOk());
  ASSERT_THAT(Wire(10, 20), IsOk());
  VmPage& page = *object->pages().Find(6);
  page.ForceWireCountForTesting(kMaxWireCount);
  const std::string before = test_.State();

  ASSERT_THAT(Wire(30, 40), StatusIs(StatusCode::kResourceExhausted));

  ExpectFailure(WireFailure::kCountMaximum, Page(36));
  EXPECT_EQ(test_.State(), before);
  EXPECT_EQ(object->pages().WireCount(5), 1u);
  EXPECT_EQ(object->pages().WireCount(6), kMaxWireCount);
  page.ForceWireCountForTesting(1);
}

TEST_P(WireReportTest, EndOfTheBackingIsTheFirstPageBehindIt) {
  ASSERT_THAT(test_.MapPages(10, 20, test_.NewObject(6)), IsOk());

  ASSERT_THAT(Wire(12, 20), StatusIs(StatusCode::kOutOfRange));
  ExpectFailure(WireFailure::kBackingEnd, Page(16));
  ASSERT_THAT(Wire(18, 20), StatusIs(StatusCode::kOutOfRange));
  ExpectFailure(WireFailure::kBackingEnd, Page(18));
}

TEST_P(WireReportTest, PageThatTheHostCannotFaultInIsNamed) {
  const auto object = test_.Add(10, 20);
  test_.host().BreakPage(object->HostSlice(4 * kPageSize, kPageSize)->start());

  ASSERT_THAT(Wire(12, 20), testing::Not(IsOk()));

  ExpectFailure(WireFailure::kPinError, Page(14));
}

TEST_P(WireReportTest, SimulatedFaultThatFailsIsNamed) {
  const auto object = test_.NewObject(10, MemoryBacking::kSimulated);
  ASSERT_THAT(test_.MapPages(10, 20, object), IsOk());
  absl::Status broken = absl::DataLossError("broken");
  broken.SetPayload("a-type", absl::Cord("what else is known"));
  object->simulation()->FailFaultAt(4, broken);

  const absl::Status wired = Wire(12, 20);

  EXPECT_THAT(wired, StatusIs(StatusCode::kDataLoss, testing::HasSubstr("broken")));
  EXPECT_EQ(wired.GetPayload("a-type"), absl::Cord("what else is known"));
  ExpectFailure(WireFailure::kPinError, Page(14));
}

TEST_P(WireReportTest, PinLevelThatTheHostLacksIsAPinError) {
  test_.Add(10, 20);
  test_.journal().FailNth(1, EPERM);

  ASSERT_THAT(Wire(10, 20), testing::Not(IsOk()));

  ExpectFailure(WireFailure::kPinError, Page(10));
}

TEST_P(WireReportTest, ProgressThatSaysStopIsCancelled) {
  test_.Add(10, 20);

  ASSERT_THAT(Wire(10, 20, kSystem, {.progress = [](uint64_t, uint64_t) { return false; }}),
              StatusIs(StatusCode::kCancelled));

  ExpectFailure(WireFailure::kCancelled, std::nullopt);
}

TEST_P(WireReportTest, StopTokenAndDeadlineAreToldApart) {
  const auto object = test_.NewObject(2048, MemoryBacking::kSimulated);
  VmMap large(test_.pins(), {});
  ASSERT_THAT(large.Map(Pages(0, 2048), object, 0, Protection::kRead), IsOk());
  std::stop_source source;
  source.request_stop();

  Dirty();
  EXPECT_THAT(large.WireRange(Pages(0, 2048), kUser,
                              {.limits = {.stop = source.get_token()}, .report = &report_}),
              StatusIs(StatusCode::kCancelled));
  ExpectFailure(WireFailure::kCancelled, std::nullopt);
  Dirty();
  EXPECT_THAT(large.WireRange(
                  Pages(0, 2048), kUser,
                  {.limits = {.deadline = std::chrono::steady_clock::now()}, .report = &report_}),
              StatusIs(StatusCode::kDeadlineExceeded));
  ExpectFailure(WireFailure::kTimedOut, std::nullopt);
}

TEST_P(WireReportTest, CutThroughAHugePageIsNotSplittable) {
  constexpr uint64_t kHuge = kHugePageSize / kPageSize;
  test_.host().SetHugetlbPool(kHugePageSize, 2);
  VmMap huge(test_.pins(), {});
  ASSERT_THAT(huge.Map(Pages(0, 2 * kHuge), test_.NewObject(2 * kHuge, MemoryBacking::kHugetlb), 0,
                       Protection::kRead),
              IsOk());

  Dirty();
  EXPECT_THAT(huge.WireRange(Pages(2, 12), kSystem, {.report = &report_}),
              StatusIs(StatusCode::kInvalidArgument));

  ExpectFailure(WireFailure::kNotSplittable, Page(0));
}

TEST_P(WireReportTest, UnknownFlagsAreNoneOfTheReasons) {
  test_.Add(10, 20);

  ASSERT_THAT(Wire(10, 20, static_cast<WireFlags>(0x40)), StatusIs(StatusCode::kInvalidArgument));

  ExpectFailure(WireFailure::kNone, Page(10));
}

// What is refused first: the flags, an obstacle at the very start, the user limit, the budget, and
// then what the walk meets.
TEST_P(WireReportTest, ReasonsAreLookedForInOrder) {
  test_.Add(10, 11, Protection::kNone);
  test_.Add(11, 40);

  ASSERT_THAT(Wire(10, 50, kUser), StatusIs(StatusCode::kPermissionDenied));
  ExpectFailure(WireFailure::kUnreadable, Page(10));
  ASSERT_THAT(Wire(11, 50, kUser), StatusIs(StatusCode::kResourceExhausted));
  ExpectLimit(11, 29, 15);
  map().SetUserWireLimit(100);
  ASSERT_THAT(Wire(11, 50, kUser), StatusIs(StatusCode::kResourceExhausted));
  ExpectLimit(11, 29, 20);
  ASSERT_THAT(Wire(25, 50, kUser), StatusIs(StatusCode::kNotFound));
  ExpectFailure(WireFailure::kHole, Page(40));
}

}  // namespace
}  // namespace vmwire
