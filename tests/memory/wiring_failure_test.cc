// Wirings that are refused, fail half-way or are stopped: everything is as before.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class WiringFailureTest : public testing::TestWithParam<PinLevel> {
 protected:
  void TearDown() override { EXPECT_THAT(map().CheckInvariants(), IsOk()); }

  VmMap& map() { return test_.map(); }
  // Wires, expects `code` and the state as before; returns the message.
  std::string Refused(const GuestRange& range, StatusCode code,
                      WireFlags flags = WireFlags::kSystem, const WireProgress& progress = {}) {
    const std::string before = test_.State();
    test_.journal().Clear();
    const absl::Status status = map().Wire(range, flags, {.progress = progress}).status();
    EXPECT_THAT(status, StatusIs(code));
    EXPECT_EQ(test_.State(), before);
    return std::string(status.message());
  }
  size_t Faults() { return test_.journal().EntriesWith("populate").size(); }

  TestMap test_{{.level = GetParam(), .budget_pages = 12}};
};

INSTANTIATE_TEST_SUITE_P(Levels, WiringFailureTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(WiringFailureTest, UnknownFlagsAreRefused) {
  test_.Add(10, 20);
  const WireFlags unknown = static_cast<WireFlags>(8);

  EXPECT_THAT(Refused(Pages(10, 20), StatusCode::kInvalidArgument, unknown), HasSubstr("0x8"));
  EXPECT_THAT(map().UnwireRange(Pages(10, 20), unknown), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(WiringFailureTest, PreflightRefusesBeforeTheFirstFault) {
  test_.Add(10, 20);
  test_.Add(20, 30);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange some, map().Wire(Pages(28, 30)));

  const std::string refused = Refused(Pages(10, 28), StatusCode::kResourceExhausted);

  EXPECT_THAT(test_.journal().entries(), IsEmpty());
  EXPECT_THAT(refused,
              AllOf(HasSubstr("[0xa000, 0x1c000)"), HasSubstr("needs 73728 bytes"),
                    HasSubstr("8192 are in use"), HasSubstr("the test's limit allows 49152"),
                    HasSubstr("raise it in the test")));
}

TEST_P(WiringFailureTest, PreflightCountsOnlyWhatIsNotPinnedYet) {
  test_.Add(10, 22);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange some, map().Wire(Pages(12, 20)));

  EXPECT_THAT(map().Wire(Pages(10, 22)), IsOk());
}

TEST_P(WiringFailureTest, PreflightCountsPagesOfTwoEntriesOnce) {
  const auto object = test_.NewObject(10);
  ASSERT_THAT(test_.MapPages(10, 20, object), IsOk());
  ASSERT_THAT(test_.MapPages(20, 30, object), IsOk());

  EXPECT_THAT(map().Wire(Pages(10, 30)), IsOk());
}

TEST_P(WiringFailureTest, PreflightPassesOverWhatHolesOkSkips) {
  test_.Add(10, 20);
  test_.Add(20, 30, Protection::kNone);

  EXPECT_THAT(map().Wire(Pages(5, 40), WireFlags::kHolesOk), IsOk());
}

TEST_P(WiringFailureTest, ObstacleAtTheStartIsReportedBeforeTheBudget) {
  test_.Add(10, 12, Protection::kNone);
  test_.Add(12, 30);

  Refused(Pages(10, 30), StatusCode::kPermissionDenied);
  Refused(Pages(5, 30), StatusCode::kNotFound);
  EXPECT_THAT(test_.journal().entries(), IsEmpty());
}

TEST_P(WiringFailureTest, ObstacleBehindTheStartIsReportedAfterTheBudget) {
  test_.Add(10, 30);

  Refused(Pages(10, 31), StatusCode::kResourceExhausted);
  EXPECT_EQ(Faults(), 0u);
}

TEST_P(WiringFailureTest, UserWiringsPassThePreflightToo) {
  test_.Add(10, 30);
  const std::string before = test_.State();

  EXPECT_THAT(map().WireRange(Pages(10, 30), WireFlags::kUser),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("the test's limit")));

  EXPECT_EQ(test_.State(), before);
}

TEST_P(WiringFailureTest, HostLimitUndoesTheEarlierEntries) {
  test_.Add(10, 15);
  test_.Add(15, 20);
  test_.host().SetMemlockLimit(7 * kPageSize);

  const std::string refused = Refused(Pages(10, 20), StatusCode::kResourceExhausted);

  EXPECT_THAT(refused, AllOf(HasSubstr("[0xa000, 0x14000)"), HasSubstr("ulimit -l")));
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(WiringFailureTest, FailureLeavesNestedWiringsAsTheyWere) {
  test_.Add(10, 15);
  test_.Add(15, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange first, map().Wire(Pages(12, 17)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange second, map().Wire(Pages(13, 16)));
  ASSERT_THAT(map().WireRange(Pages(11, 14), WireFlags::kUser), IsOk());

  Refused(Pages(10, 25), StatusCode::kNotFound);

  EXPECT_EQ(test_.Wires(10, 20), "0uvw221000");
}

TEST_P(WiringFailureTest, D16TransientErrorThatStaysIsFailureAndRollsBack) {
  test_.Add(10, 15);
  test_.Add(15, 20);
  test_.journal().FailNth(1, EAGAIN, UINT64_MAX);

  Refused(Pages(10, 20), StatusCode::kUnavailable);

  test_.journal().FailNth(0, 0);
}

TEST_P(WiringFailureTest, ProgressRunsToTheTotalOfWhatIsToBePinned) {
  test_.Add(10, 15);
  test_.Add(15, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange some, map().Wire(Pages(12, 14)));
  std::vector<std::pair<uint64_t, uint64_t>> told;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired,
                              map().Wire(Pages(10, 20), WireFlags::kSystem,
                                         {.progress = [&told](uint64_t done, uint64_t total) {
                                           told.emplace_back(done / kPageSize, total / kPageSize);
                                           return true;
                                         }}));

  EXPECT_THAT(told, ElementsAre(Pair(2, 8), Pair(3, 8), Pair(8, 8)));
}

TEST_P(WiringFailureTest, ProgressIsNotToldOfNestedWirings) {
  test_.Add(10, 15);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange first, map().Wire(Pages(10, 15)));

  EXPECT_THAT(map().Wire(Pages(10, 15), WireFlags::kSystem,
                         {.progress =
                              [](uint64_t, uint64_t) {
                                ADD_FAILURE() << "nothing is to be pinned";
                                return true;
                              }}),
              IsOk());
}

TEST_P(WiringFailureTest, StopAtAnyStepUndoesAll) {
  test_.Add(10, 14);
  test_.Add(14, 18);
  test_.Add(18, 22);
  for (int stop_at = 1; stop_at <= 3; ++stop_at) {
    int calls = 0;
    Refused(Pages(10, 22), StatusCode::kCancelled, WireFlags::kSystem,
            [&calls, stop_at](uint64_t, uint64_t) { return ++calls < stop_at; });
    EXPECT_EQ(calls, stop_at);
    EXPECT_EQ(test_.HostPinnedPages(), 0u);
  }
}

TEST_P(WiringFailureTest, FailureReformsTheEntriesThatItCut) {
  test_.Add(10, 20);

  Refused(Pages(15, 25), StatusCode::kNotFound);

  EXPECT_EQ(map().entry_count(), 1u);
}

TEST_P(WiringFailureTest, UnwireThatFailsReformsTheEntriesThatItCut) {
  test_.Add(10, 20);
  const std::string before = test_.State();

  EXPECT_THAT(map().UnwireRange(Pages(12, 25), WireFlags::kUser), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(map().UnwireRange(Pages(12, 15), WireFlags::kSystem),
              StatusIs(StatusCode::kFailedPrecondition));

  EXPECT_EQ(test_.State(), before);
}

}  // namespace
}  // namespace vmwire
