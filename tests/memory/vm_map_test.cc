#include "memory/vm_map.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<MappedRange>);
static_assert(!std::is_copy_assignable_v<MappedRange>);
static_assert(std::is_nothrow_move_constructible_v<MappedRange>);
static_assert(std::is_nothrow_move_assignable_v<MappedRange>);
// The values of FreeBSD's VM_MAP_WIRE_*.
static_assert(static_cast<int>(WireFlags::kSystem) == 0);
static_assert(static_cast<int>(WireFlags::kNoHoles) == 0);
static_assert(static_cast<int>(WireFlags::kUser) == 1);
static_assert(static_cast<int>(WireFlags::kHolesOk) == 2);
static_assert(static_cast<int>(WireFlags::kWrite) == 4);

class VmMapTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_THAT(map().CheckInvariants(), IsOk()); }
  VmMap& map() { return test_.map(); }

  TestMap test_{{.first_page = 5, .end_page = 1000}};
};

TEST_F(VmMapTest, MapMakesAnEntryAndFaultsNothingIn) {
  const auto object = test_.NewObject(10);
  ASSERT_THAT(test_.MapPages(10, 15, object, 3), IsOk());

  const std::optional<VmMapEntry> entry = map().Lookup(Page(14));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->range, Pages(10, 15));
  EXPECT_EQ(entry->object, object);
  EXPECT_EQ(entry->offset, 3 * kPageSize);
  EXPECT_EQ(entry->protection, Protection::kReadWrite);
  EXPECT_EQ(entry->max_protection, Protection::kAll);
  EXPECT_FALSE(entry->IsWired());
  EXPECT_EQ(test_.host().resident_bytes(), 0u);
}

TEST_F(VmMapTest, LookupOutsideOfEntriesIsNull) {
  test_.Add(10, 15);

  EXPECT_FALSE(map().Lookup(GuestAddress(10 * kPageSize - 1)).has_value());
  EXPECT_FALSE(map().Lookup(Page(15)).has_value());
  EXPECT_TRUE(map().Lookup(GuestAddress(15 * kPageSize - 1)).has_value());
}

TEST_F(VmMapTest, MapOutsideOfTheBoundsIsOutOfRange) {
  const auto object = test_.NewObject(10);

  EXPECT_THAT(test_.MapPages(4, 6, object), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(test_.MapPages(999, 1001, object), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(test_.MapPages(5, 6, object), IsOk());
  EXPECT_THAT(test_.MapPages(999, 1000, object), IsOk());
}

TEST_F(VmMapTest, MapOfNothingOrAtAnUnalignedOffsetIsInvalidArgument) {
  EXPECT_THAT(test_.MapPages(10, 15, nullptr), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(map().Map(Pages(10, 15), test_.NewObject(10), 1, Protection::kRead),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("0x1")));
}

TEST_F(VmMapTest, OffsetThatWrapsIsOutOfRange) {
  const auto object = test_.NewObject(10);

  EXPECT_THAT(map().Map(Pages(10, 15), object, AlignDown(UINT64_MAX, kPageSize), Protection::kRead),
              StatusIs(StatusCode::kOutOfRange, HasSubstr("wraps")));
}

TEST_F(VmMapTest, ProtectionBeyondItsMaximumIsPermissionDenied) {
  EXPECT_THAT(
      map().Map(Pages(10, 15), test_.NewObject(10), 0, Protection::kReadWrite, Protection::kRead),
      StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(VmMapTest, E14OverlapWithAWiredEntryIsAlreadyExists) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));
  const auto object = test_.NewObject(10);
  const std::string before = test_.State();

  EXPECT_THAT(test_.MapPages(15, 25, object),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("[0xa000, 0x14000)")));
  EXPECT_THAT(test_.MapPages(6, 11, object), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_EQ(test_.State(), before);
}

TEST_F(VmMapTest, ContiguousMappingsOfOneObjectAreOneEntry) {
  const auto object = test_.NewObject(20);
  ASSERT_THAT(test_.MapPages(10, 15, object, 0), IsOk());
  ASSERT_THAT(test_.MapPages(20, 25, object, 10), IsOk());
  ASSERT_EQ(map().entry_count(), 2u);

  ASSERT_THAT(test_.MapPages(15, 20, object, 5), IsOk());

  EXPECT_EQ(map().entry_count(), 1u);
}

TEST_F(VmMapTest, MappingsThatDifferAreEntriesOfTheirOwn) {
  const auto object = test_.NewObject(20);
  ASSERT_THAT(test_.MapPages(10, 15, object, 0), IsOk());
  ASSERT_THAT(test_.MapPages(15, 20, object, 6), IsOk());
  ASSERT_THAT(test_.MapPages(20, 25, object, 11, Protection::kRead), IsOk());

  EXPECT_EQ(map().entry_count(), 3u);
}

TEST_F(VmMapTest, MappingsOfDifferentMaximumAreEntriesOfTheirOwn) {
  const auto object = test_.NewObject(20);
  ASSERT_THAT(map().Map(Pages(10, 15), object, 0, Protection::kRead, Protection::kRead), IsOk());
  ASSERT_THAT(map().Map(Pages(15, 20), object, 5 * kPageSize, Protection::kRead), IsOk());

  EXPECT_EQ(map().entry_count(), 2u);
}

TEST_F(VmMapTest, NewNeighbourOfAWiredEntryStaysUnwired) {
  const auto object = test_.NewObject(20);
  ASSERT_THAT(test_.MapPages(10, 15, object, 0), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 15)));

  ASSERT_THAT(test_.MapPages(15, 20, object, 5), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "1111100000");
}

TEST_F(VmMapTest, RemoveCutsEntriesAndPassesOverHoles) {
  test_.Add(10, 20);
  test_.Add(30, 40);

  ASSERT_THAT(map().Remove(Pages(15, 35)), IsOk());

  EXPECT_EQ(test_.Wires(8, 42), "..00000....................00000..");
  EXPECT_EQ(map().Lookup(Page(35))->offset, 5 * kPageSize);
}

TEST_F(VmMapTest, RemoveOfNothingSucceeds) { EXPECT_THAT(map().Remove(Pages(1, 2000)), IsOk()); }

TEST_F(VmMapTest, RemovedObjectGivesItsMemoryBack) {
  test_.Add(10, 20);

  ASSERT_THAT(map().Remove(Pages(10, 20)), IsOk());

  EXPECT_EQ(test_.host().mappings(), 0u);
}

TEST_F(VmMapTest, E01RemoveOfTheMiddleDropsItsUserWiringOnly) {
  test_.Add(10, 20);
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());

  ASSERT_THAT(map().Remove(Pages(12, 14)), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "uu..uuuuuu");
  EXPECT_EQ(map().user_wired_pages(), 8u);
}

TEST_F(VmMapTest, E02RemoveOfASystemWiringIsRefused) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(12, 14)));
  const std::string before = test_.State();

  EXPECT_THAT(map().Remove(Pages(10, 20)),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("[0xa000, 0x14000)"), HasSubstr("[0xc000, 0xe000)"))));
  EXPECT_EQ(test_.State(), before);
}

TEST_F(VmMapTest, RemoveChecksTheWholeRangeBeforeItChangesAnything) {
  test_.Add(10, 20);
  test_.Add(30, 40);
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(39, 40)));
  const std::string before = test_.State();

  EXPECT_THAT(map().Remove(Pages(10, 40)), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_EQ(test_.State(), before);
}

TEST_F(VmMapTest, RemoveBesideASystemWiringIsFine) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(12, 14)));

  EXPECT_THAT(map().Remove(Pages(10, 12)), IsOk());
  EXPECT_THAT(map().Remove(Pages(14, 20)), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "..11......");
}

TEST_F(VmMapTest, E21RemovedTailDropsItsUserWiring) {
  test_.Add(10, 20);
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());

  ASSERT_THAT(map().Remove(Pages(18, 20)), IsOk());

  EXPECT_EQ(map().user_wired_pages(), 8u);
  EXPECT_EQ(map().wired_pages(), 8u);
}

TEST_F(VmMapTest, ProtectCutsAndMergesEntries) {
  test_.Add(10, 20);

  ASSERT_THAT(map().Protect(Pages(12, 14), Protection::kRead), IsOk());
  EXPECT_EQ(map().entry_count(), 3u);
  EXPECT_EQ(map().Lookup(Page(13))->protection, Protection::kRead);

  ASSERT_THAT(map().Protect(Pages(12, 14), Protection::kReadWrite), IsOk());
  EXPECT_EQ(map().entry_count(), 1u);
}

TEST_F(VmMapTest, E07ProtectBeyondTheMaximumChangesNothing) {
  test_.Add(10, 15);
  ASSERT_THAT(map().Map(Pages(15, 20), test_.NewObject(5), 0, Protection::kRead, Protection::kRead),
              IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));
  const std::string before = test_.State();

  EXPECT_THAT(map().Protect(Pages(12, 20), Protection::kReadWrite),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("max r--")));
  EXPECT_EQ(test_.State(), before);
}

TEST_F(VmMapTest, HoldKeepsTheRangeMappedUntilItDies) {
  test_.Add(10, 20);
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange held, map().KeepMapped(Pages(12, 14)));
    EXPECT_THAT(map().Remove(Pages(13, 15)), StatusIs(StatusCode::kFailedPrecondition));
    EXPECT_THAT(map().Remove(Pages(14, 15)), IsOk());
    EXPECT_EQ(map().wired_pages(), 0u);
  }
  EXPECT_THAT(map().Remove(Pages(12, 14)), IsOk());
}

TEST_F(VmMapTest, HoldOfAHoleIsNotFound) {
  test_.Add(10, 15);
  test_.Add(16, 20);
  const std::string before = test_.State();

  EXPECT_THAT(map().KeepMapped(Pages(10, 20)),
              StatusIs(StatusCode::kNotFound, HasSubstr("0xf000")));
  EXPECT_THAT(map().KeepMapped(Pages(9, 11)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(map().KeepMapped(Pages(19, 21)), StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(test_.State(), before);
}

TEST_F(VmMapTest, HoldsNestAndMayOverlap) {
  test_.Add(10, 20);
  const std::string before = test_.State();
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange low, map().KeepMapped(Pages(10, 15)));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange high, map().KeepMapped(Pages(12, 20)));
    EXPECT_EQ(map().Lookup(Page(13))->mapped_tokens, 2u);
    EXPECT_EQ(map().entry_count(), 3u);
  }
  EXPECT_EQ(test_.State(), before);
}

TEST_F(VmMapTest, NeighbouringHoldsMergeAndAreReleasedApart) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange high, map().KeepMapped(Pages(15, 20)));
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange low, map().KeepMapped(Pages(10, 15)));
    EXPECT_EQ(map().entry_count(), 1u);
  }
  EXPECT_EQ(map().Lookup(Page(10))->mapped_tokens, 0u);
  EXPECT_EQ(map().Lookup(Page(15))->mapped_tokens, 1u);
}

TEST_F(VmMapTest, HigherOfNeighbouringHoldsCanBeReleasedFirst) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange low, map().KeepMapped(Pages(10, 15)));
  { VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange high, map().KeepMapped(Pages(15, 20))); }

  EXPECT_EQ(map().Lookup(Page(14))->mapped_tokens, 1u);
  EXPECT_EQ(map().Lookup(Page(15))->mapped_tokens, 0u);
}

TEST_F(VmMapTest, HoldBackingIsTheHostMemoryBehindIt) {
  const auto object = test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange held, map().KeepMapped(Pages(12, 14)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HostBacking backing, held.Backing());

  EXPECT_EQ(backing.host, *object->HostSlice(2 * kPageSize, 2 * kPageSize));
  EXPECT_EQ(backing.protection, Protection::kReadWrite);
}

TEST_F(VmMapTest, MovedFromHoldIsEmpty) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MappedRange from, map().KeepMapped(Pages(12, 14)));
  {
    const MappedRange to = std::move(from);
    EXPECT_EQ(to.range(), Pages(12, 14));
    EXPECT_EQ(map().Lookup(Page(12))->mapped_tokens, 1u);
    EXPECT_DEATH(from.Backing().IgnoreError(), "moved from");
  }
  EXPECT_EQ(map().Lookup(Page(12))->mapped_tokens, 0u);
}

TEST_F(VmMapTest, MoveAssignmentReleasesTheOldHold) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MappedRange to, map().KeepMapped(Pages(10, 12)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(MappedRange from, map().KeepMapped(Pages(15, 16)));

  to = std::move(from);

  EXPECT_EQ(to.range(), Pages(15, 16));
  EXPECT_EQ(map().Lookup(Page(10))->mapped_tokens, 0u);
  EXPECT_EQ(map().Lookup(Page(15))->mapped_tokens, 1u);
}

TEST_F(VmMapTest, SelfMoveKeepsTheHold) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(MappedRange held, map().KeepMapped(Pages(10, 12)));
  MappedRange& same = held;

  held = std::move(same);

  EXPECT_EQ(map().Lookup(Page(10))->mapped_tokens, 1u);
  EXPECT_THAT(held.Backing(), IsOk());
}

TEST_F(VmMapTest, E17DeathOfAMapDropsItsUserWirings) {
  const auto object = test_.NewObject(10);
  {
    VmMap other(test_.pins(), {});
    ASSERT_THAT(other.Map(Pages(0, 10), object, 0, Protection::kReadWrite), IsOk());
    ASSERT_THAT(other.WireRange(Pages(0, 5), WireFlags::kUser), IsOk());
    EXPECT_EQ(test_.HostPinnedPages(), 5u);
  }
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
}

TEST_F(VmMapTest, DeathOfAMapWithATokenLeftIsOurBug) {
  const auto object = test_.NewObject(10);
  EXPECT_DEATH(
      {
        std::optional<VmMap> other(std::in_place, test_.pins(), VmMap::Options{});
        other->Map(Pages(0, 10), object, 0, Protection::kReadWrite).IgnoreError();
        auto wired = other->Wire(Pages(0, 10));
        other.reset();
      },
      "the map is in use");
}

TEST_F(VmMapTest, BoundsThatAreNoRangeAreOurBug) {
  EXPECT_DEATH(VmMap(test_.pins(), {.min = Page(2), .max = Page(2)}), "inverted or unaligned");
}

}  // namespace
}  // namespace vmwire
