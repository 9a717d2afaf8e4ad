// VmMap::Clip: a boundary that later merges leave alone, until the next wiring or unwiring there.
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class VmMapClipTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_THAT(map().CheckInvariants(), IsOk()); }
  VmMap& map() { return test_.map(); }
  // "10-15 15-20"
  std::string Entries() {
    std::string text;
    for (auto entry = map().LookupFrom(Page(0)); entry.has_value();
         entry = map().LookupFrom(entry->range.end())) {
      if (!text.empty()) text += ' ';
      text += std::to_string(entry->range.start().value() / kPageSize) + '-' +
              std::to_string(entry->range.end().value() / kPageSize);
    }
    return text;
  }
  absl::Status Wire(uint64_t first, uint64_t end) {
    return map().WireRange(Pages(first, end), WireFlags::kUser);
  }
  absl::Status Unwire(uint64_t first, uint64_t end) {
    return map().UnwireRange(Pages(first, end), WireFlags::kUser);
  }

  TestMap test_;
};

TEST_F(VmMapClipTest, ClipCutsAnEntryInTwo) {
  test_.Add(10, 20);

  ASSERT_THAT(map().Clip(Page(15)), IsOk());

  EXPECT_EQ(Entries(), "10-15 15-20");
  EXPECT_EQ(map().Lookup(Page(15))->offset, 5 * kPageSize);
}

TEST_F(VmMapClipTest, ClipInAHoleOrAtABoundaryDoesNothing) {
  test_.Add(10, 20);
  for (const uint64_t page : {0u, 10u, 20u, 25u, 5000u}) {
    EXPECT_THAT(map().Clip(Page(page)), IsOk()) << page;
  }
  EXPECT_EQ(Entries(), "10-20");
}

TEST_F(VmMapClipTest, UnalignedOrCuttingAHugePageIsInvalidArgument) {
  constexpr uint64_t kHuge = kHugePageSize / kPageSize;
  test_.host().SetHugetlbPool(kHugePageSize, 1);
  VmMap map(test_.pins(), {});
  ASSERT_THAT(map.Map(Pages(0, kHuge), test_.NewObject(kHuge, MemoryBacking::kHugetlb), 0,
                      Protection::kRead),
              IsOk());

  EXPECT_THAT(map.Clip(GuestAddress(8)), StatusIs(StatusCode::kInvalidArgument, HasSubstr("0x8")));
  EXPECT_THAT(map.Clip(Page(7)), StatusIs(StatusCode::kInvalidArgument, HasSubstr("2097152")));
}

TEST_F(VmMapClipTest, InsertProtectAndRemoveLeaveTheBoundary) {
  const auto object = test_.NewObject(30);
  ASSERT_THAT(test_.MapPages(10, 20, object), IsOk());
  ASSERT_THAT(map().Clip(Page(15)), IsOk());

  ASSERT_THAT(test_.MapPages(20, 30, object, 10), IsOk());
  EXPECT_EQ(Entries(), "10-15 15-30");
  ASSERT_THAT(map().Protect(Pages(12, 18), Protection::kRead), IsOk());
  ASSERT_THAT(map().Protect(Pages(12, 18), Protection::kReadWrite), IsOk());
  EXPECT_EQ(Entries(), "10-15 15-30");
  ASSERT_THAT(map().Remove(Pages(25, 30)), IsOk());
  EXPECT_EQ(Entries(), "10-15 15-25");
  { VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange kept, map().KeepMapped(Pages(12, 18))); }
  EXPECT_EQ(Entries(), "10-15 15-25");
}

TEST_F(VmMapClipTest, BoundaryStaysAtMemoryThatIsMappedAnewBelowIt) {
  const auto object = test_.NewObject(30);
  ASSERT_THAT(test_.MapPages(10, 20, object), IsOk());
  ASSERT_THAT(map().Clip(Page(15)), IsOk());
  ASSERT_THAT(map().Remove(Pages(10, 15)), IsOk());

  ASSERT_THAT(test_.MapPages(10, 15, object), IsOk());

  EXPECT_EQ(Entries(), "10-15 15-20");
}

TEST_F(VmMapClipTest, WiringOverTheBoundaryForgetsIt) {
  test_.Add(10, 20);
  ASSERT_THAT(map().Clip(Page(15)), IsOk());

  ASSERT_THAT(Wire(10, 20), IsOk());

  EXPECT_EQ(Entries(), "10-20");
}

TEST_F(VmMapClipTest, WiringThatEndsAtTheBoundaryForgetsIt) {
  test_.Add(10, 20);
  ASSERT_THAT(map().Clip(Page(15)), IsOk());
  ASSERT_THAT(Wire(10, 15), IsOk());

  ASSERT_THAT(Unwire(10, 15), IsOk());

  EXPECT_EQ(Entries(), "10-20");
}

TEST_F(VmMapClipTest, WiringElsewhereLeavesTheBoundary) {
  test_.Add(10, 20);
  ASSERT_THAT(map().Clip(Page(15)), IsOk());

  ASSERT_THAT(Wire(16, 18), IsOk());
  ASSERT_THAT(Unwire(16, 18), IsOk());

  EXPECT_EQ(Entries(), "10-15 15-20");
}

TEST_F(VmMapClipTest, UnwiringOverTheBoundaryForgetsIt) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  ASSERT_THAT(map().Clip(Page(15)), IsOk());
  EXPECT_EQ(Entries(), "10-15 15-20");
  EXPECT_EQ(test_.Wires(10, 20), "uuuuuuuuuu");

  ASSERT_THAT(Unwire(12, 18), IsOk());

  EXPECT_EQ(Entries(), "10-12 12-18 18-20");
}

// A call that finds its entry wired already takes a shorter way, which must do the same.
TEST_F(VmMapClipTest, NestedWiringThatEndsAtTheBoundaryForgetsItToo) {
  test_.Add(10, 20);
  const GuestRange low = Pages(10, 15);
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kSystem), IsOk());
  ASSERT_THAT(map().Clip(Page(15)), IsOk());

  ASSERT_THAT(map().WireRange(low, WireFlags::kSystem), IsOk());
  ASSERT_THAT(map().UnwireRange(low, WireFlags::kSystem), IsOk());

  EXPECT_EQ(Entries(), "10-20");
  ASSERT_THAT(map().UnwireRange(Pages(10, 20), WireFlags::kSystem), IsOk());
}

TEST_F(VmMapClipTest, NestedUnwiringThatEndsAtTheBoundaryForgetsItToo) {
  test_.Add(10, 20);
  const GuestRange low = Pages(10, 15);
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kSystem), IsOk());
  ASSERT_THAT(map().WireRange(low, WireFlags::kSystem), IsOk());
  ASSERT_THAT(map().WireRange(Pages(15, 20), WireFlags::kSystem), IsOk());
  ASSERT_THAT(map().Clip(Page(15)), IsOk());

  ASSERT_THAT(map().UnwireRange(low, WireFlags::kSystem), IsOk());
  ASSERT_THAT(map().WireRange(low, WireFlags::kSystem), IsOk());

  EXPECT_EQ(Entries(), "10-20");
  while (map().wired_pages() != 0) {
    ASSERT_THAT(map().UnwireRange(Pages(10, 20), WireFlags::kSystem), IsOk());
  }
}

TEST_F(VmMapClipTest, WiringThatFailsLeavesTheBoundary) {
  test_.Add(10, 20);
  ASSERT_THAT(map().Clip(Page(15)), IsOk());
  const std::string before = test_.State();

  EXPECT_THAT(Wire(12, 25), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(map().UnwireRange(Pages(12, 18), WireFlags::kSystem),
              StatusIs(StatusCode::kFailedPrecondition));

  EXPECT_EQ(test_.State(), before);
  EXPECT_EQ(Entries(), "10-15 15-20");
}

TEST_F(VmMapClipTest, ClippedGuardStaysInTwoParts) {
  ASSERT_THAT(map().MapGuard(Pages(10, 20)), IsOk());
  ASSERT_THAT(map().Clip(Page(15)), IsOk());

  ASSERT_THAT(map().Protect(Pages(10, 20), Protection::kRead), IsOk());

  EXPECT_EQ(Entries(), "10-15 15-20");
}

}  // namespace
}  // namespace vmwire
