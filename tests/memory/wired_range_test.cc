#include "memory/wired_range.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

static_assert(!std::is_default_constructible_v<WiredRange>);
static_assert(!std::is_copy_constructible_v<WiredRange>);
static_assert(!std::is_copy_assignable_v<WiredRange>);
static_assert(std::is_nothrow_move_constructible_v<WiredRange>);
static_assert(std::is_nothrow_move_assignable_v<WiredRange>);

class WiredRangeTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_THAT(map().CheckInvariants(), IsOk());
    EXPECT_EQ(test_.HostPinnedPages(), 0u);
  }
  VmMap& map() { return test_.map(); }

  TestMap test_;
};

TEST_F(WiredRangeTest, AnUnwireCallCannotTakeTheWiringOfAToken) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));

  EXPECT_THAT(map().UnwireRange(Pages(10, 20), WireFlags::kSystem),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("tokens")));
  EXPECT_THAT(map().UnwireRange(Pages(10, 20), WireFlags::kHolesOk), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "1111111111");
}

TEST_F(WiredRangeTest, ATokenTakesItsOwnWiringAndLeavesThatOfACall) {
  test_.Add(10, 20);
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kSystem), IsOk());
  { VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(12, 15))); }

  EXPECT_EQ(test_.Wires(10, 20), "1111111111");
  EXPECT_THAT(map().UnwireRange(Pages(10, 20), WireFlags::kSystem), IsOk());
}

TEST_F(WiredRangeTest, TokenOwnsOneWiringUntilItDies) {
  test_.Add(10, 20);
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(12, 15)));
    EXPECT_EQ(wired.range(), Pages(12, 15));
    EXPECT_THAT(wired.pieces(), ElementsAre(Pages(12, 15)));
    EXPECT_EQ(wired.wired_bytes(), 3 * kPageSize);
    EXPECT_EQ(test_.Wires(10, 20), "0011100000");
  }
  EXPECT_EQ(test_.Wires(10, 20), "0000000000");
  EXPECT_EQ(map().entry_count(), 1u);
}

TEST_F(WiredRangeTest, TokenIsASystemWiringWhateverTheFlagsSay) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20), WireFlags::kUser));

  EXPECT_EQ(test_.Wires(10, 20), "1111111111");
  EXPECT_EQ(map().user_wired_pages(), 0u);
}

TEST_F(WiredRangeTest, NeighbouringTokensMergeAndDieApart) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange high, map().Wire(Pages(15, 20)));
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange low, map().Wire(Pages(10, 15)));
    EXPECT_EQ(map().entry_count(), 1u);
  }
  EXPECT_EQ(test_.Wires(10, 20), "0000011111");
}

TEST_F(WiredRangeTest, PiecesAreTheWiredPartsOnly) {
  test_.Add(10, 12);
  test_.Add(12, 14);
  test_.Add(15, 17, Protection::kNone);
  test_.Add(17, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired,
                              map().Wire(Pages(5, 30), WireFlags::kHolesOk));

  EXPECT_EQ(wired.range(), Pages(5, 30));
  EXPECT_THAT(wired.pieces(), ElementsAre(Pages(10, 14), Pages(17, 20)));
  EXPECT_EQ(wired.wired_bytes(), 7 * kPageSize);
}

TEST_F(WiredRangeTest, TokenOfHolesOnlyHasNoPieces) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired,
                              map().Wire(Pages(5, 30), WireFlags::kHolesOk));

  EXPECT_THAT(wired.pieces(), IsEmpty());
  EXPECT_EQ(wired.wired_bytes(), 0u);
}

TEST_F(WiredRangeTest, HoleThatIsMappedLaterIsNotTheTokens) {
  test_.Add(10, 12);
  test_.Add(14, 16);
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired,
                                map().Wire(Pages(10, 16), WireFlags::kHolesOk));
    test_.Add(12, 14);
    EXPECT_EQ(test_.Wires(10, 16), "110011");
  }
  EXPECT_EQ(test_.Wires(10, 16), "000000");
}

TEST_F(WiredRangeTest, BackingIsTheHostMemoryBehindTheRange) {
  const auto object = test_.Add(10, 20, Protection::kRead);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(12, 15)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HostBacking backing, wired.Backing());

  EXPECT_EQ(backing.host, *object->HostSlice(2 * kPageSize, 3 * kPageSize));
  EXPECT_EQ(backing.protection, Protection::kRead);
}

TEST_F(WiredRangeTest, BackingMayCrossEntriesOfOneObject) {
  const auto object = test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange part, map().Wire(Pages(12, 15)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));
  ASSERT_EQ(map().entry_count(), 3u);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const HostBacking backing, wired.Backing());
  EXPECT_EQ(backing.host, object->host_range());
}

TEST_F(WiredRangeTest, BackingOfTwoObjectsIsFailedPrecondition) {
  test_.Add(10, 15);
  test_.Add(15, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));

  EXPECT_THAT(wired.Backing(),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("[0xf000, 0x14000)")));
}

TEST_F(WiredRangeTest, BackingOfOneObjectOutOfOrderIsFailedPrecondition) {
  const auto object = test_.NewObject(10);
  ASSERT_THAT(test_.MapPages(10, 15, object, 5), IsOk());
  ASSERT_THAT(test_.MapPages(15, 20, object, 0), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));

  EXPECT_THAT(wired.Backing(), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(WiredRangeTest, BackingOfTwoProtectionsIsFailedPrecondition) {
  test_.Add(10, 20);
  ASSERT_THAT(map().Protect(Pages(15, 20), Protection::kRead), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));

  EXPECT_THAT(wired.Backing(), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(WiredRangeTest, BackingOfARangeWithHolesIsFailedPrecondition) {
  test_.Add(10, 15);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired,
                              map().Wire(Pages(10, 20), WireFlags::kHolesOk));

  EXPECT_THAT(wired.Backing(),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("not wired whole")));
}

TEST_F(WiredRangeTest, MoveConstructionMovesTheWiring) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange from, map().Wire(Pages(10, 12)));
  {
    const WiredRange to = std::move(from);
    EXPECT_EQ(to.range(), Pages(10, 12));
    EXPECT_THAT(to.pieces(), ElementsAre(Pages(10, 12)));
    EXPECT_THAT(to.Backing(), IsOk());
    EXPECT_EQ(test_.Wires(10, 14), "1100");
  }
  EXPECT_EQ(test_.Wires(10, 14), "0000");
}

TEST_F(WiredRangeTest, MovedFromTokenIsEmpty) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange from, map().Wire(Pages(10, 12)));
  const WiredRange to = std::move(from);

  EXPECT_THAT(from.pieces(), IsEmpty());
  EXPECT_EQ(from.wired_bytes(), 0u);
  EXPECT_DEATH(from.Backing().IgnoreError(), "moved from");
}

TEST_F(WiredRangeTest, MoveAssignmentReleasesTheOldWiring) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange to, map().Wire(Pages(10, 12)));
  VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange from, map().Wire(Pages(15, 16)));

  to = std::move(from);

  EXPECT_EQ(test_.Wires(10, 20), "0000010000");
  EXPECT_EQ(to.range(), Pages(15, 16));
  EXPECT_THAT(from.pieces(), IsEmpty());
}

TEST_F(WiredRangeTest, MoveAssignmentOntoAMovedFromTokenWorks) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange first, map().Wire(Pages(10, 12)));
  WiredRange second = std::move(first);

  first = std::move(second);

  EXPECT_EQ(test_.Wires(10, 14), "1100");
  EXPECT_THAT(first.Backing(), IsOk());
}

TEST_F(WiredRangeTest, SelfMoveKeepsTheWiring) {
  test_.Add(10, 20);
  VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange wired, map().Wire(Pages(10, 12)));
  WiredRange& same = wired;

  wired = std::move(same);

  EXPECT_EQ(test_.Wires(10, 14), "1100");
  EXPECT_THAT(wired.pieces(), ElementsAre(Pages(10, 12)));
  EXPECT_THAT(wired.Backing(), IsOk());
}

TEST_F(WiredRangeTest, TokensInAVectorSurviveItsGrowth) {
  test_.Add(10, 30);
  std::vector<WiredRange> tokens;
  for (uint64_t page = 10; page < 30; ++page) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(WiredRange wired, map().Wire(Pages(page, page + 1)));
    tokens.push_back(std::move(wired));
  }
  EXPECT_EQ(map().wired_pages(), 20u);

  tokens.clear();

  EXPECT_EQ(map().wired_pages(), 0u);
}

TEST_F(WiredRangeTest, TokenDiesWellAfterItsRightsWereTaken) {
  test_.Add(10, 20);
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange wired, map().Wire(Pages(10, 20)));
    ASSERT_THAT(map().Protect(Pages(12, 15), Protection::kNone), IsOk());
  }
  EXPECT_EQ(map().wired_pages(), 0u);
}

}  // namespace
}  // namespace vmwire
