// Guard entries: they keep a range free, and can be neither accessed nor wired.
#include <gtest/gtest.h>

#include <cstdint>

#include "memory/guest_memory.h"
#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class VmMapGuardTest : public testing::Test {
 protected:
  void SetUp() override {
    test_.Add(10, 15);
    ASSERT_THAT(map().MapGuard(Pages(15, 16)), IsOk());
    test_.Add(16, 20);
  }
  void TearDown() override { EXPECT_THAT(map().CheckInvariants(), IsOk()); }
  VmMap& map() { return test_.map(); }

  TestMap test_{{.first_page = 5}};
};

TEST_F(VmMapGuardTest, GuardIsAnEntryWithoutMemoryOrRights) {
  const auto entry = map().Lookup(Page(15));

  ASSERT_TRUE(entry.has_value());
  EXPECT_TRUE(entry->IsGuard());
  EXPECT_EQ(entry->range, Pages(15, 16));
  EXPECT_EQ(entry->protection, Protection::kNone);
  EXPECT_EQ(ToString(*entry), "[0xf000, 0x10000) guard");
}

TEST_F(VmMapGuardTest, GuardKeepsItsRangeFree) {
  EXPECT_THAT(test_.MapPages(15, 16, test_.NewObject(1)), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(map().MapGuard(Pages(14, 15)), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(map().MapGuard(Pages(15, 16)), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(map().MapGuard(Pages(4, 6)), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(map().MapGuard(Pages(999, 1001)), StatusIs(StatusCode::kOutOfRange));
}

TEST_F(VmMapGuardTest, GuardCannotBeAccessed) {
  const GuestMemory memory(map());

  EXPECT_THAT(memory.Store(Page(15), uint32_t{1}),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("guard")));
  EXPECT_THAT(memory.Load<uint64_t>(GuestAddress(15 * kPageSize - 4)),
              StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(VmMapGuardTest, B13WiringOverAGuardIsPermissionDeniedAndRollsBack) {
  const std::string before = test_.State();
  WireReport report;

  EXPECT_THAT(map().WireRange(Pages(10, 20), WireFlags::kSystem, {.report = &report}),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("guard")));

  EXPECT_EQ(test_.State(), before);
  EXPECT_EQ(report.failure, WireFailure::kGuard);
  EXPECT_EQ(report.failed_at, Page(15));
  EXPECT_THAT(map().WireRange(Pages(15, 16), WireFlags::kUser),
              StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(VmMapGuardTest, B13GuardIsPassedOverWithHolesOk) {
  WireReport report;
  constexpr WireFlags kHoles = WireFlags::kSystem | WireFlags::kHolesOk;

  ASSERT_THAT(map().WireRange(Pages(10, 20), kHoles, {.report = &report}), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "1111101111");
  EXPECT_EQ(report.pages_wired, 9u);
  EXPECT_EQ(report.pages_skipped, 1u);
  EXPECT_THAT(map().UnwireRange(Pages(10, 20), kHoles), IsOk());
  EXPECT_EQ(map().wired_pages(), 0u);
}

TEST_F(VmMapGuardTest, UnwiringAGuardIsFailedPreconditionOrNothing) {
  EXPECT_THAT(map().UnwireRange(Pages(15, 16), WireFlags::kSystem),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(map().UnwireRange(Pages(15, 16), WireFlags::kUser), IsOk());
}

TEST_F(VmMapGuardTest, ProtectPassesOverIt) {
  ASSERT_THAT(map().Protect(Pages(10, 20), Protection::kAll), IsOk());

  EXPECT_EQ(map().Lookup(Page(14))->protection, Protection::kAll);
  EXPECT_EQ(map().Lookup(Page(15))->protection, Protection::kNone);
  EXPECT_EQ(map().Lookup(Page(16))->protection, Protection::kAll);
}

TEST_F(VmMapGuardTest, ProtectOfAPartOfItLeavesItWhole) {
  ASSERT_THAT(map().MapGuard(Pages(30, 40)), IsOk());

  ASSERT_THAT(map().Protect(Pages(33, 36), Protection::kRead), IsOk());

  EXPECT_EQ(map().Lookup(Page(33))->range, Pages(30, 40));
}

TEST_F(VmMapGuardTest, RemoveTakesAPartOfIt) {
  ASSERT_THAT(map().MapGuard(Pages(30, 40)), IsOk());

  ASSERT_THAT(map().Remove(Pages(33, 36)), IsOk());

  EXPECT_EQ(map().Lookup(Page(30))->range, Pages(30, 33));
  EXPECT_FALSE(map().Lookup(Page(33)).has_value());
  EXPECT_EQ(map().Lookup(Page(36))->range, Pages(36, 40));
}

TEST_F(VmMapGuardTest, NeighbouringGuardsAreOneEntry) {
  ASSERT_THAT(map().MapGuard(Pages(30, 33)), IsOk());
  ASSERT_THAT(map().MapGuard(Pages(36, 40)), IsOk());

  ASSERT_THAT(map().MapGuard(Pages(33, 36)), IsOk());

  EXPECT_EQ(map().Lookup(Page(30))->range, Pages(30, 40));
}

TEST_F(VmMapGuardTest, GuardDoesNotMergeWithMemory) {
  EXPECT_EQ(map().entry_count(), 3u);
  ASSERT_THAT(map().Protect(Pages(10, 20), Protection::kNone), IsOk());
  EXPECT_EQ(map().entry_count(), 3u);
}

TEST_F(VmMapGuardTest, GuardCanBeKeptMappedButHasNoBacking) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange kept, map().KeepMapped(Pages(14, 17)));

  EXPECT_THAT(kept.Backing(), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("guard")));
  EXPECT_THAT(map().Remove(Pages(15, 16)), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(VmMapGuardTest, WireFutureDoesNotWireAGuard) {
  map().SetWireFuture(true);

  ASSERT_THAT(map().MapGuard(Pages(30, 40)), IsOk());

  EXPECT_EQ(map().user_wired_pages(), 0u);
}

TEST_F(VmMapGuardTest, GuardMayReachTheLastPageThatAMapCanHold) {
  VmMap whole(test_.pins(), {});

  ASSERT_THAT(whole.MapGuard(GuestRange::Between(GuestAddress(0),
                                                 GuestAddress(AlignDown(UINT64_MAX, kPageSize)))),
              IsOk());

  EXPECT_THAT(whole.WireRange(Pages(0, 1), WireFlags::kUser),
              StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(whole.Clip(Page(5)), IsOk());
  EXPECT_EQ(whole.entry_count(), 2u);
}

}  // namespace
}  // namespace vmwire
