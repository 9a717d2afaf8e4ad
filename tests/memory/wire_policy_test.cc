#include "memory/wire_policy.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<UnwiredByPolicy>);
static_assert(!std::is_default_constructible_v<UnwiredByPolicy>);
static_assert(!std::is_constructible_v<UnwiredByPolicy, MappedRange, std::vector<WiredRange>>);
static_assert(!std::is_copy_constructible_v<SlotBacking>);
static_assert(std::is_move_constructible_v<SlotBacking>);

class WirePolicyTest : public testing::Test {
 protected:
  WirePolicyTest() {
    test_.Add(10, 20);
    empty_ = test_.State();
  }
  void TearDown() override {
    EXPECT_THAT(map().CheckInvariants(), IsOk());
    EXPECT_EQ(test_.State(), empty_);
  }
  VmMap& map() { return test_.map(); }

  TestMap test_;
  std::string empty_;
};

TEST_F(WirePolicyTest, NamesAreThoseOfTheCommandLine) {
  EXPECT_EQ(ToString(WirePolicyKind::kAll), "all");
  EXPECT_EQ(ToString(WirePolicyKind::kDma), "dma");
  EXPECT_EQ(ToString(WirePolicyKind::kOnDemand), "on-demand");
  EXPECT_EQ(ToString(WirePolicyKind::kNone), "none");
}

TEST_F(WirePolicyTest, AllWiresTheWholeRange) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const SlotBacking backing,
                              WirePolicy::All().Apply(map(), Pages(10, 20)));

  EXPECT_TRUE(std::holds_alternative<WiredRange>(backing));
  EXPECT_EQ(test_.Wires(10, 20), "1111111111");
  EXPECT_EQ(RangeOf(backing), Pages(10, 20));
  EXPECT_EQ(WiredBytesOf(backing), 10 * kPageSize);
  EXPECT_THAT(BackingOf(backing), IsOk());
}

TEST_F(WirePolicyTest, NoneWiresNothingButHoldsTheRange) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const SlotBacking backing,
                              WirePolicy::None().Apply(map(), Pages(10, 20)));

  EXPECT_TRUE(std::holds_alternative<UnwiredByPolicy>(backing));
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(RangeOf(backing), Pages(10, 20));
  EXPECT_EQ(WiredBytesOf(backing), 0u);
  EXPECT_THAT(BackingOf(backing), IsOk());
  EXPECT_THAT(map().Remove(Pages(10, 20)), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(WirePolicyTest, OnDemandWiresNothingAtFirstButHoldsTheRange) {
  const absl::StatusOr<SlotBacking> backing = WirePolicy::OnDemand().Apply(map(), Pages(10, 20));
  ASSERT_THAT(backing, IsOk());

  EXPECT_EQ(WiredBytesOf(*backing), 0u);
  EXPECT_THAT(map().Remove(Pages(10, 20)), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(WirePolicyTest, DmaWiresTheWindowsInTheRangeAndHoldsTheRest) {
  const WirePolicy policy = WirePolicy::Dma({Pages(17, 25), Pages(12, 14)});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const SlotBacking backing, policy.Apply(map(), Pages(10, 20)));

  EXPECT_EQ(test_.Wires(10, 20), "0011000111");
  EXPECT_EQ(WiredBytesOf(backing), 5 * kPageSize);
  EXPECT_EQ(policy.BytesToWire(Pages(10, 20)), 5 * kPageSize);
  EXPECT_THAT(BackingOf(backing), IsOk());
  EXPECT_THAT(map().Remove(Pages(10, 11)), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(WirePolicyTest, DmaWindowsMayOverlap) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const SlotBacking backing,
      WirePolicy::Dma({Pages(12, 15), Pages(14, 16)}).Apply(map(), Pages(10, 20)));

  EXPECT_EQ(test_.Wires(10, 20), "0011210000");
}

TEST_F(WirePolicyTest, DmaWithoutAWindowInTheRangeWiresNothing) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const SlotBacking backing,
                              WirePolicy::Dma({Pages(30, 40)}).Apply(map(), Pages(10, 20)));

  EXPECT_EQ(map().wired_pages(), 0u);
}

TEST_F(WirePolicyTest, HoleIsNotFoundUnderEveryPolicy) {
  for (const WirePolicy& policy : {WirePolicy::All(), WirePolicy::OnDemand(), WirePolicy::None(),
                                   WirePolicy::Dma({Pages(12, 14)})}) {
    EXPECT_THAT(policy.Apply(map(), Pages(10, 21)), StatusIs(StatusCode::kNotFound));
    EXPECT_EQ(test_.State(), empty_);
  }
}

TEST_F(WirePolicyTest, FailureAtALaterWindowUndoesTheEarlier) {
  test_.journal().FailNth(3, ENOMEM);

  EXPECT_THAT(WirePolicy::Dma({Pages(12, 14), Pages(16, 18)}).Apply(map(), Pages(10, 20)),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(test_.State(), empty_);
}

TEST_F(WirePolicyTest, StopIsCancelledAndUndone) {
  const WireProgress stop = [](uint64_t, uint64_t) { return false; };

  EXPECT_THAT(WirePolicy::All().Apply(map(), Pages(10, 20), stop),
              StatusIs(StatusCode::kCancelled));
  EXPECT_THAT(WirePolicy::Dma({Pages(12, 14)}).Apply(map(), Pages(10, 20), stop),
              StatusIs(StatusCode::kCancelled));

  EXPECT_EQ(test_.State(), empty_);
}

TEST_F(WirePolicyTest, BackingSurvivesBeingMovedAndReplaced) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(SlotBacking backing,
                              WirePolicy::Dma({Pages(12, 14)}).Apply(map(), Pages(10, 20)));
  SlotBacking moved = std::move(backing);
  EXPECT_EQ(WiredBytesOf(moved), 2 * kPageSize);
  EXPECT_EQ(WiredBytesOf(backing), 0u);

  VMWIRE_ASSERT_OK_AND_ASSIGN(moved, WirePolicy::All().Apply(map(), Pages(15, 20)));

  EXPECT_EQ(test_.Wires(10, 20), "0000011111");
  EXPECT_EQ(map().Lookup(Page(12))->mapped_tokens, 0u);
}

TEST_F(WirePolicyTest, BytesToWireFollowsThePolicy) {
  EXPECT_EQ(WirePolicy::All().BytesToWire(Pages(10, 20)), 10 * kPageSize);
  EXPECT_EQ(WirePolicy::None().BytesToWire(Pages(10, 20)), 0u);
  EXPECT_EQ(WirePolicy::Dma({Pages(0, 12), Pages(30, 40)}).BytesToWire(Pages(10, 20)),
            2 * kPageSize);
}

TEST_F(WirePolicyTest, WindowOutsideOfMemoryIsInvalidArgumentAndNamed) {
  const WirePolicy policy = WirePolicy::Dma({Pages(12, 14), Pages(19, 21)});

  EXPECT_THAT(policy.CheckWindows({Pages(10, 20), Pages(30, 40)}),
              StatusIs(StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("[0x13000, 0x15000)"), HasSubstr("[0x1e000, 0x28000)"))));
  EXPECT_THAT(policy.CheckWindows({Pages(10, 21)}), IsOk());
}

TEST_F(WirePolicyTest, WindowAcrossTwoRangesIsInvalidArgument) {
  EXPECT_THAT(WirePolicy::Dma({Pages(15, 25)}).CheckWindows({Pages(10, 20), Pages(20, 30)}),
              StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(WirePolicyTest, PoliciesWithoutWindowsHaveNothingToCheck) {
  EXPECT_THAT(WirePolicy::All().CheckWindows({}), IsOk());
  EXPECT_THAT(WirePolicy::None().CheckWindows({}), IsOk());
}

}  // namespace
}  // namespace vmwire
