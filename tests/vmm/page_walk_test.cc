#include "vmm/page_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/map_fixture.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr uint64_t kP = 1;
constexpr uint64_t kW = 2;
constexpr uint64_t kU = 4;
constexpr uint64_t kLargePage = 0x80;
constexpr uint64_t kNx = uint64_t{1} << 63;

class PageWalkTest : public testing::Test {
 protected:
  PageWalkTest() {
    sregs_.cr0 = 0x80000001;
    sregs_.cr3 = 0x1000;
  }
  void Use4Level() {
    sregs_.cr4 = 0x20;
    sregs_.efer = 0xd00;  // LME, LMA, NXE.
  }
  template <typename T>
  void Entry(uint64_t table, uint64_t index, T value) {
    ASSERT_TRUE(memory_.Store<T>(GuestAddress(table + index * sizeof(T)), value).ok());
  }
  PageWalk Walk(uint64_t linear) { return WalkPages(linear, sregs_, memory_); }

  TestMap map_;
  std::shared_ptr<VmObject> object_ = map_.Add(0, 16);
  GuestMemory memory_{map_.map()};
  kvm_sregs sregs_ = {};
};

TEST_F(PageWalkTest, ModeFollowsTheControlRegisters) {
  kvm_sregs sregs = {};
  sregs.cr4 = 0x1020;
  EXPECT_EQ(PagingModeOf(sregs), PagingMode::kNone);
  sregs.cr0 = 0x80000001;
  EXPECT_EQ(PagingModeOf(sregs), PagingMode::kPae);
  sregs.efer = 0x400;
  EXPECT_EQ(PagingModeOf(sregs), PagingMode::k5Level);
  sregs.cr4 = 0x20;
  EXPECT_EQ(PagingModeOf(sregs), PagingMode::k4Level);
  sregs.cr4 = 0;
  EXPECT_EQ(PagingModeOf(sregs), PagingMode::k32Bit);
}

TEST_F(PageWalkTest, WithoutPagingTheAddressIsPhysical) {
  sregs_.cr0 = 1;
  EXPECT_EQ(Walk(0x2010).physical, 0x2010u);
  EXPECT_EQ(Walk(0x2010).ToString("RIP"), "  page walk of RIP 0x2010 (paging off): memory\n");
  EXPECT_THAT(Walk(0xd0000000).ToString("RIP"), HasSubstr("the MMIO hole"));
}

TEST_F(PageWalkTest, FourLevelsLeadToA4KibPage) {
  Use4Level();
  Entry<uint64_t>(0x1000, 511, 0x2000 | kP | kW | kU);
  Entry<uint64_t>(0x2000, 510, 0x3000 | kP | kW);
  Entry<uint64_t>(0x3000, 0, 0x4000 | kP | kW | kU);
  Entry<uint64_t>(0x4000, 1, 0x5000 | kP | kU | kNx);

  const PageWalk walk = Walk(0xffffffff80001234);

  EXPECT_EQ(walk.physical, 0x5234u);
  EXPECT_TRUE(walk.is_memory);
  EXPECT_FALSE(walk.is_user) << "one entry is the supervisor's";
  EXPECT_FALSE(walk.is_writable);
  EXPECT_FALSE(walk.is_executable);
  EXPECT_THAT(walk.ToString("RIP"),
              AllOf(StartsWith("  page walk of RIP 0xffffffff80001234 (4-level, CR3 0x1000):\n"
                               "    PML4[511] at 0x1ff8: 0000000000002007 present, writable"),
                    HasSubstr("    PT  [1] at 0x4008: 8000000000005005"),
                    HasSubstr("guest physical 0x5234 in a page of 4 KiB (read-only, supervisor, "
                              "no execution): memory\n")));
}

TEST_F(PageWalkTest, LargePagesEndTheWalkEarly) {
  Use4Level();
  Entry<uint64_t>(0x1000, 0, 0x2000 | kP);
  Entry<uint64_t>(0x2000, 0, 0x3000 | kP);
  Entry<uint64_t>(0x2000, 3, 0xc0000000 | kP | kLargePage);
  Entry<uint64_t>(0x3000, 0, 0 | kP | kLargePage);

  EXPECT_EQ(Walk(0x1234).physical, 0x1234u);
  EXPECT_EQ(Walk(0x1234).page_size, 2u << 20);
  const PageWalk hole = Walk(0xc0001234);
  EXPECT_EQ(hole.physical, 0xc0001234u);
  EXPECT_EQ(hole.page_size, 1u << 30);
  EXPECT_FALSE(hole.is_memory);
  EXPECT_THAT(hole.ToString("RIP"), EndsWith("the MMIO hole: no memory\n"));
}

TEST_F(PageWalkTest, FifthLevelIsWalkedFirst) {
  Use4Level();
  sregs_.cr4 = 0x1020;
  Entry<uint64_t>(0x1000, 1, 0x2000 | kP);

  const PageWalk walk = Walk(uint64_t{1} << 48);

  ASSERT_THAT(walk.steps, SizeIs(2));
  EXPECT_EQ(walk.steps[0].table, "PML5");
  EXPECT_EQ(walk.steps[0].index, 1u);
  EXPECT_EQ(walk.why, "the PML4 entry is not present");
}

TEST_F(PageWalkTest, PaeHasFourEntriesWithoutRightsAtTheTop) {
  sregs_.cr4 = 0x20;
  sregs_.cr3 = 0x1020;
  Entry<uint64_t>(0x1020, 3, 0x2000 | kP);
  Entry<uint64_t>(0x2000, 511, 0x200000 | kP | kW | kLargePage);

  const PageWalk walk = Walk(0xffe00010);

  EXPECT_EQ(walk.steps[0].address, 0x1038u);
  EXPECT_EQ(walk.physical, 0x200010u);
  EXPECT_TRUE(walk.is_writable);
}

TEST_F(PageWalkTest, ThirtyTwoBitTablesHaveNarrowEntries) {
  Entry<uint32_t>(0x1000, 0x300, 0x2000 | kP | kW);
  Entry<uint32_t>(0x2000, 0x3ff, 0x7000 | kP | kW);

  const PageWalk walk = Walk(0xc03ff123);

  EXPECT_EQ(walk.steps[1].address, 0x2ffcu);
  EXPECT_EQ(walk.physical, 0x7123u);
}

TEST_F(PageWalkTest, FourMibPagesNeedPseAndHaveHighBits) {
  Entry<uint32_t>(0x1000, 0, 0x2000 | kP | kLargePage);
  EXPECT_THAT(Walk(0x10).steps, SizeIs(2)) << "without CR4.PSE bit 7 means nothing";

  sregs_.cr4 = 0x10;
  EXPECT_EQ(Walk(0x10).physical, 0x100000010u) << "bit 13 is bit 32 of the address";
  EXPECT_EQ(Walk(0x10).page_size, 4u << 20);
}

TEST_F(PageWalkTest, TablesOutsideMemoryEndTheWalk) {
  Use4Level();
  Entry<uint64_t>(0x1000, 0, 0x000ffffffffff000 | kP);

  const PageWalk walk = Walk(0);

  EXPECT_FALSE(walk.physical.has_value());
  EXPECT_THAT(walk.ToString("RSP"),
              AllOf(HasSubstr("    PDPT[0] at 0xffffffffff000: cannot be read\n"),
                    HasSubstr("    ends: there is no memory where the PDPT is\n")));
}

TEST_F(PageWalkTest, RootOutsideMemoryEndsTheWalk) {
  Use4Level();
  sregs_.cr3 = UINT64_MAX;
  EXPECT_EQ(Walk(0x1000).why, "there is no memory where the PML4 is");
}

TEST_F(PageWalkTest, ATableThatPointsToItselfIsWalkedOnceALevel) {
  Use4Level();
  Entry<uint64_t>(0x1000, 0, 0x1000 | kP);

  const PageWalk walk = Walk(0x10);

  EXPECT_THAT(walk.steps, SizeIs(4));
  EXPECT_EQ(walk.physical, 0x1010u);
}

TEST_F(PageWalkTest, AddressThatIsNotCanonicalIsNotWalked) {
  Use4Level();
  EXPECT_EQ(Walk(uint64_t{1} << 47).why, "the address is not canonical");
  EXPECT_EQ(Walk(uint64_t{1} << 63).why, "the address is not canonical");
  EXPECT_NE(Walk(0xffff800000000000).why, "the address is not canonical");
  sregs_.cr4 = 0x1020;
  EXPECT_NE(Walk(uint64_t{1} << 47).why, "the address is not canonical");
  EXPECT_EQ(Walk(uint64_t{1} << 56).why, "the address is not canonical");
}

}  // namespace
}  // namespace vmwire
