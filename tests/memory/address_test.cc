#include "memory/address.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <type_traits>

namespace vmwire {
namespace {

static_assert(!std::is_convertible_v<uint64_t, GuestAddress>);
static_assert(!std::is_convertible_v<GuestAddress, uint64_t>);
static_assert(!std::is_constructible_v<GuestAddress, HostAddress>);
static_assert(!std::is_assignable_v<HostAddress&, GuestAddress>);

TEST(AlignTest, DownGoesToTheMultipleAtOrBelow) {
  EXPECT_EQ(AlignDown(0, kPageSize), 0u);
  EXPECT_EQ(AlignDown(kPageSize - 1, kPageSize), 0u);
  EXPECT_EQ(AlignDown(kPageSize, kPageSize), kPageSize);
  EXPECT_EQ(AlignDown(UINT64_MAX, kPageSize), UINT64_MAX - kPageSize + 1);
}

TEST(AlignTest, CheckedUpGoesToTheMultipleAtOrAbove) {
  EXPECT_EQ(CheckedAlignUp(0, kPageSize), 0u);
  EXPECT_EQ(CheckedAlignUp(1, kPageSize), kPageSize);
  EXPECT_EQ(CheckedAlignUp(kPageSize, kPageSize), kPageSize);
}

TEST(AlignTest, CheckedUpIsNothingBeyond64Bits) {
  const uint64_t last = UINT64_MAX - kPageSize + 1;
  EXPECT_EQ(CheckedAlignUp(last, kPageSize), last);
  EXPECT_EQ(CheckedAlignUp(last + 1, kPageSize), std::nullopt);
  EXPECT_EQ(CheckedAlignUp(UINT64_MAX, kPageSize), std::nullopt);
}

TEST(AddressTest, DefaultIsZero) { EXPECT_EQ(GuestAddress().value(), 0u); }

TEST(AddressTest, CheckedAddStopsAtTheEndOf64Bits) {
  EXPECT_EQ(GuestAddress(UINT64_MAX - 1).CheckedAdd(1), GuestAddress(UINT64_MAX));
  EXPECT_EQ(GuestAddress(UINT64_MAX).CheckedAdd(0), GuestAddress(UINT64_MAX));
  EXPECT_EQ(GuestAddress(UINT64_MAX).CheckedAdd(1), std::nullopt);
  EXPECT_EQ(GuestAddress(2).CheckedAdd(UINT64_MAX), std::nullopt);
}

TEST(AddressTest, OffsetFromIsNothingBelowTheBase) {
  EXPECT_EQ(GuestAddress(7).OffsetFrom(GuestAddress(5)), 2u);
  EXPECT_EQ(GuestAddress(5).OffsetFrom(GuestAddress(5)), 0u);
  EXPECT_EQ(GuestAddress(5).OffsetFrom(GuestAddress(7)), std::nullopt);
}

TEST(AddressTest, IsOrderedAsItsValue) {
  EXPECT_LT(GuestAddress(1), GuestAddress(2));
  EXPECT_EQ(HostAddress(3), HostAddress(3));
  EXPECT_GT(HostAddress(UINT64_MAX), HostAddress(0));
}

TEST(AddressTest, KnowsPageAlignment) {
  EXPECT_TRUE(GuestAddress(0).IsPageAligned());
  EXPECT_TRUE(GuestAddress(kPageSize).IsPageAligned());
  EXPECT_FALSE(GuestAddress(kPageSize + 1).IsPageAligned());
}

}  // namespace
}  // namespace vmwire
