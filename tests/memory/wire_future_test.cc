// Wire-future: what is mapped while it is on is user-wired at once, or not mapped at all.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/guest_memory.h"
#include "memory/read_section.h"
#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class WireFutureTest : public testing::TestWithParam<PinLevel> {
 protected:
  void SetUp() override {
    test_.Add(10, 20);
    map().SetWireFuture(true);
  }
  void TearDown() override { EXPECT_THAT(map().CheckInvariants(), IsOk()); }
  VmMap& map() { return test_.map(); }
  // Maps [20, 30), which must fail and leave nothing.
  std::string Refused(StatusCode code, Protection protection = Protection::kReadWrite,
                      uint64_t object_pages = 10) {
    const auto object = test_.NewObject(object_pages);
    const std::string before = test_.State();
    const absl::Status mapped = test_.MapPages(20, 30, object, 0, protection);
    EXPECT_THAT(mapped, StatusIs(code));
    EXPECT_EQ(test_.State(), before);
    EXPECT_FALSE(map().Lookup(Page(20)).has_value());
    EXPECT_EQ(object.use_count(), 1) << "the map let go of it";
    return std::string(mapped.message());
  }

  TestMap test_{{.level = GetParam(), .budget_pages = 25}};
};

INSTANTIATE_TEST_SUITE_P(Levels, WireFutureTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(WireFutureTest, F01MappedEntryIsUserWiredAndWhatWasMappedIsNot) {
  test_.Add(20, 30);

  EXPECT_EQ(test_.Wires(10, 30), "0000000000uuuuuuuuuu");
  EXPECT_EQ(map().user_wired_pages(), 10u);
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
}

TEST_P(WireFutureTest, EntryIsAccessibleAndHoldableAfterwards) {
  test_.Add(20, 30);

  EXPECT_THAT(GuestMemory(map()).Store(Page(20), uint64_t{1}), IsOk());
  EXPECT_THAT(map().Hold(Page(20), 10 * kPageSize, Protection::kReadWrite), IsOk());
}

TEST_P(WireFutureTest, SwitchedOffTheNextEntryIsNotWired) {
  map().SetWireFuture(false);

  test_.Add(20, 30);

  EXPECT_EQ(map().user_wired_pages(), 0u);
}

TEST_P(WireFutureTest, NewEntryJoinsAUserWiredNeighbour) {
  const auto object = test_.NewObject(20);
  ASSERT_THAT(test_.MapPages(20, 30, object, 0), IsOk());

  ASSERT_THAT(test_.MapPages(30, 40, object, 10), IsOk());

  EXPECT_EQ(map().Lookup(Page(20))->range, Pages(20, 40));
  EXPECT_EQ(map().user_wired_pages(), 20u);
}

TEST_P(WireFutureTest, NewEntryDoesNotJoinANeighbourThatIsNotWired) {
  const auto object = test_.NewObject(20);
  map().SetWireFuture(false);
  ASSERT_THAT(test_.MapPages(20, 30, object, 0), IsOk());
  map().SetWireFuture(true);

  ASSERT_THAT(test_.MapPages(30, 40, object, 10), IsOk());

  EXPECT_EQ(map().Lookup(Page(20))->range, Pages(20, 30));
}

TEST_P(WireFutureTest, F02UserLimitRefusesAndLeavesNothing) {
  map().SetUserWireLimit(9);

  EXPECT_THAT(Refused(StatusCode::kResourceExhausted), HasSubstr("user limit is 9"));
}

TEST_P(WireFutureTest, BudgetRefusesAndLeavesNothing) {
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());
  test_.Add(30, 40);
  test_.journal().Clear();

  EXPECT_THAT(Refused(StatusCode::kResourceExhausted), HasSubstr("the test's limit"));
  EXPECT_THAT(test_.journal().EntriesWith("populate"), testing::IsEmpty());
}

TEST_P(WireFutureTest, EntryPastItsObjectsEndIsNotMapped) {
  Refused(StatusCode::kOutOfRange, Protection::kReadWrite, 9);
}

TEST_P(WireFutureTest, EntryThatCannotBeReadIsNotMapped) {
  Refused(StatusCode::kPermissionDenied, Protection::kNone);
  Refused(StatusCode::kPermissionDenied, Protection::kWrite);
}

TEST_P(WireFutureTest, OverlapIsFoundBeforeAnythingIsWired) {
  const auto object = test_.NewObject(10);
  const std::string before = test_.State();
  test_.journal().Clear();

  EXPECT_THAT(test_.MapPages(15, 25, object), StatusIs(StatusCode::kAlreadyExists));

  EXPECT_EQ(test_.State(), before);
  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
}

// Nobody may hold, or access without a lock, what may yet be taken away again.
TEST_P(WireFutureTest, EntryIsNotPublishedBeforeItsWiringIsCommitted) {
  std::vector<absl::StatusCode> holds;
  bool translated = false;
  test_.journal().AddObserver([&] {
    if (!map().Lookup(Page(20)).has_value()) return;
    holds.push_back(map().Hold(Page(20), 8, Protection::kRead).status().code());
    const ReadGuard guard;
    HostPlace place;
    translated = translated || map().translations().Translate(Page(20), 8, place);
  });

  test_.Add(20, 30);

  EXPECT_THAT(holds, testing::Not(testing::IsEmpty()));
  EXPECT_THAT(holds, testing::Each(StatusCode::kFailedPrecondition));
  EXPECT_FALSE(translated);
  const ReadGuard guard;
  HostPlace place;
  EXPECT_TRUE(map().translations().Translate(Page(20), 8, place));
}

TEST_P(WireFutureTest, SimulatedFaultThatFailsLeavesNothing) {
  const auto object = test_.NewObject(10, MemoryBacking::kSimulated);
  object->simulation()->FailFaultAt(7, absl::DataLossError("broken"));
  const std::string before = test_.State();

  EXPECT_THAT(test_.MapPages(20, 30, object),
              StatusIs(StatusCode::kDataLoss, HasSubstr("0x1b000")));

  EXPECT_EQ(test_.State(), before);
  object->simulation()->FailFaultAt(7, absl::OkStatus());
  EXPECT_THAT(test_.MapPages(20, 30, object), IsOk());
}

}  // namespace
}  // namespace vmwire
