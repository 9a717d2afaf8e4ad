#include "memory/page_range.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <type_traits>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr uint64_t kLastPage = UINT64_MAX - kPageSize + 1;

static_assert(!std::is_default_constructible_v<GuestRange>);
static_assert(!std::is_convertible_v<GuestRange, HostRange>);

TEST(PageRangeTest, A10M40UnalignedEndsAreInvalidArgument) {
  EXPECT_THAT(GuestRange::Create(GuestAddress(1), kPageSize),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("page-aligned")));
  EXPECT_THAT(GuestRange::Create(GuestAddress(0), kPageSize + 1),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("0x0+0x1001")));
}

TEST(PageRangeTest, M41EmptyRangeIsInvalidArgument) {
  EXPECT_THAT(GuestRange::Create(GuestAddress(kPageSize), 0),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(GuestRange::FromBounds(Page(3), Page(3)), StatusIs(StatusCode::kInvalidArgument));
}

TEST(PageRangeTest, A09InvertedBoundsAreInvalidArgument) {
  EXPECT_THAT(GuestRange::FromBounds(Page(18), Page(12)),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("inverted")));
}

TEST(PageRangeTest, EndBeyond64BitsIsOutOfRange) {
  EXPECT_THAT(GuestRange::Create(GuestAddress(kLastPage), kPageSize),
              StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(GuestRange::Create(GuestAddress(kPageSize), kLastPage),
              StatusIs(StatusCode::kOutOfRange));
}

TEST(PageRangeTest, LargestRangeHasNoWrap) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestRange range,
                              GuestRange::Create(GuestAddress(0), kLastPage));
  EXPECT_EQ(range.end(), GuestAddress(kLastPage));
  EXPECT_EQ(range.pages(), kLastPage / kPageSize);
}

TEST(PageRangeTest, BetweenOfBadBoundsIsOurBug) {
  EXPECT_DEATH(GuestRange::Between(Page(2), Page(1)), "is no page range");
  EXPECT_DEATH(GuestRange::Between(GuestAddress(1), Page(1)), "is no page range");
}

TEST(PageRangeTest, ContainsAddressesFromStartToBeforeEnd) {
  const GuestRange range = Pages(10, 20);
  EXPECT_FALSE(range.Contains(GuestAddress(10 * kPageSize - 1)));
  EXPECT_TRUE(range.Contains(Page(10)));
  EXPECT_TRUE(range.Contains(GuestAddress(20 * kPageSize - 1)));
  EXPECT_FALSE(range.Contains(Page(20)));
}

TEST(PageRangeTest, ContainsRangesUpToItself) {
  EXPECT_TRUE(Pages(10, 20).Contains(Pages(10, 20)));
  EXPECT_TRUE(Pages(10, 20).Contains(Pages(19, 20)));
  EXPECT_FALSE(Pages(10, 20).Contains(Pages(9, 20)));
  EXPECT_FALSE(Pages(10, 20).Contains(Pages(10, 21)));
}

TEST(PageRangeTest, NeighboursDoNotOverlap) {
  EXPECT_FALSE(Pages(10, 20).Overlaps(Pages(20, 30)));
  EXPECT_FALSE(Pages(20, 30).Overlaps(Pages(10, 20)));
  EXPECT_TRUE(Pages(10, 21).Overlaps(Pages(20, 30)));
  EXPECT_TRUE(Pages(10, 30).Overlaps(Pages(15, 16)));
  EXPECT_TRUE(Pages(15, 16).Overlaps(Pages(10, 30)));
}

TEST(PageRangeTest, IntersectIsWhatBothHave) {
  EXPECT_EQ(Pages(10, 20).Intersect(Pages(15, 30)), Pages(15, 20));
  EXPECT_EQ(Pages(15, 30).Intersect(Pages(10, 20)), Pages(15, 20));
  EXPECT_EQ(Pages(10, 20).Intersect(Pages(12, 13)), Pages(12, 13));
  EXPECT_EQ(Pages(10, 20).Intersect(Pages(20, 30)), std::nullopt);
}

TEST(PageRangeTest, SliceCountsFromTheStart) {
  EXPECT_EQ(*Pages(10, 20).Slice(2 * kPageSize, 3 * kPageSize), Pages(12, 15));
  EXPECT_EQ(*Pages(10, 20).Slice(0, 10 * kPageSize), Pages(10, 20));
}

TEST(PageRangeTest, SliceThatLeavesTheRangeIsOutOfRange) {
  EXPECT_THAT(Pages(10, 20).Slice(9 * kPageSize, 2 * kPageSize),
              StatusIs(StatusCode::kOutOfRange, HasSubstr("[0xa000, 0x14000)")));
  EXPECT_THAT(Pages(10, 20).Slice(11 * kPageSize, kPageSize), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(Pages(10, 20).Slice(kPageSize, kLastPage), StatusIs(StatusCode::kOutOfRange));
}

TEST(PageRangeTest, SliceThatIsNoRangeIsInvalidArgument) {
  EXPECT_THAT(Pages(10, 20).Slice(1, kPageSize), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Pages(10, 20).Slice(0, 0), StatusIs(StatusCode::kInvalidArgument));
}

TEST(PageRangeTest, TextIsHexAndHalfOpen) { EXPECT_EQ(Pages(1, 3).ToString(), "[0x1000, 0x3000)"); }

}  // namespace
}  // namespace vmwire
