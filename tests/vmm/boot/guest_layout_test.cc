#include "vmm/guest_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kAddressBits = 46;

std::string RamOf(uint64_t memory_bytes) {
  const absl::StatusOr<GuestLayout> layout = GuestLayout::Create(memory_bytes, kAddressBits);
  if (!layout.ok()) return layout.status().ToString();
  std::string text;
  for (const GuestRange& range : layout->ram()) text += range.ToString();
  return text;
}

void ExpectRefused(uint64_t memory_bytes, uint32_t bits, const std::string& reason) {
  EXPECT_THAT(GuestLayout::Create(memory_bytes, bits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(reason)));
}

TEST(GuestLayout, SmallMemoryIsOneRange) {
  EXPECT_EQ(RamOf(kMiB), "[0x0, 0x100000)");
  EXPECT_EQ(RamOf(kMiB + kPageSize), "[0x0, 0x101000)");
}

TEST(GuestLayout, MemoryOfThreeGiBEndsAtTheHole) {
  EXPECT_EQ(RamOf(3 * kGiB), "[0x0, 0xc0000000)");
}

TEST(GuestLayout, AnotherPageLiesAboveTheHole) {
  EXPECT_EQ(RamOf(3 * kGiB + kPageSize), "[0x0, 0xc0000000)[0x100000000, 0x100001000)");
}

TEST(GuestLayout, TheMostMemoryEndsAt129GiB) {
  EXPECT_EQ(RamOf(128 * kGiB), "[0x0, 0xc0000000)[0x100000000, 0x2040000000)");
}

TEST(GuestLayout, RefusesNoMemory) { ExpectRefused(0, kAddressBits, "0 bytes is too small"); }

TEST(GuestLayout, RefusesLessThanOneMiB) {
  ExpectRefused(kMiB - kPageSize, kAddressBits, "is too small: the least is 1048576 bytes");
}

TEST(GuestLayout, RefusesMoreThan128GiB) {
  ExpectRefused(128 * kGiB + kPageSize, kAddressBits, "is too large");
  ExpectRefused(UINT64_MAX, kAddressBits, "is too large");
}

TEST(GuestLayout, RefusesAPartOfAPage) {
  ExpectRefused(kMiB + 1, kAddressBits, "is not whole pages");
}

TEST(GuestLayout, MemoryMayEndWhereTheAddressesEnd) {
  EXPECT_THAT(GuestLayout::Create(3 * kGiB, 32), IsOk());
  EXPECT_THAT(GuestLayout::Create(63 * kGiB, 36), IsOk());
}

TEST(GuestLayout, M42RefusesMemoryAboveWhatTheCpuAddresses) {
  ExpectRefused(3 * kGiB + kPageSize, 32, "the guest's CPU addresses 32 bits");
  ExpectRefused(63 * kGiB + kPageSize, 36, "the guest's CPU addresses 36 bits");
}

TEST(GuestLayout, AcceptsAnyNumberOfAddressBits) {
  EXPECT_THAT(GuestLayout::Create(kMiB, UINT32_MAX), IsOk());
  ExpectRefused(kMiB, 0, "addresses 0 bits");
}

TEST(GuestLayout, HoleIsNotRam) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestLayout layout,
                              GuestLayout::Create(4 * kGiB, kAddressBits));

  EXPECT_TRUE(layout.IsRam(GuestAddress(3 * kGiB - 1), 1));
  EXPECT_FALSE(layout.IsRam(GuestAddress(3 * kGiB - 1), 2));
  EXPECT_FALSE(layout.IsRam(GuestAddress(4 * kGiB - 1), 2));
  EXPECT_TRUE(layout.IsRam(GuestAddress(4 * kGiB), kGiB));
  EXPECT_FALSE(layout.IsRam(GuestAddress(4 * kGiB), kGiB + 1));
  EXPECT_FALSE(layout.IsRam(GuestAddress(UINT64_MAX), 2));
}

TEST(MemoryNeededFor, RoundsUpToMiB) {
  EXPECT_EQ(MemoryNeededFor(GuestAddress(0), 1), kMiB);
  EXPECT_EQ(MemoryNeededFor(GuestAddress(kMiB), kMiB), 2 * kMiB);
  EXPECT_EQ(MemoryNeededFor(GuestAddress(kMiB), kMiB + 1), 3 * kMiB);
}

TEST(MemoryNeededFor, LeavesOutTheHole) {
  EXPECT_EQ(MemoryNeededFor(GuestAddress(4 * kGiB), 1), 3 * kGiB + kMiB);
  EXPECT_EQ(MemoryNeededFor(GuestAddress(129 * kGiB - 1), 1), 128 * kGiB);
}

TEST(MemoryNeededFor, NoSizeWillDo) {
  EXPECT_EQ(MemoryNeededFor(GuestAddress(3 * kGiB - 1), 2), std::nullopt);
  EXPECT_EQ(MemoryNeededFor(GuestAddress(4 * kGiB - 1), 2), std::nullopt);
  EXPECT_EQ(MemoryNeededFor(GuestAddress(129 * kGiB), 1), std::nullopt);
  EXPECT_EQ(MemoryNeededFor(GuestAddress(UINT64_MAX), 2), std::nullopt);
}

}  // namespace
}  // namespace vmwire
