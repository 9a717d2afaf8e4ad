#include "devices/dma_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

WaitLimits Soon() {
  return {.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20)};
}
WaitLimits Patient() {
  return {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60)};
}

constexpr uint64_t kGranulePages = DmaLeases::kGranule / kPageSize;
constexpr uint64_t kEnd = 4 * kGranulePages;

// Four granules of memory.
class DmaSpaceTest : public testing::Test {
 protected:
  explicit DmaSpaceTest(std::optional<uint64_t> on_demand_granules = std::nullopt,
                        const TestMapOptions& options = {.end_page = kEnd})
      : map_(options), object_(map_.Add(0, kEnd)) {
    DmaSpace::Options space;
    if (on_demand_granules.has_value()) {
      space.on_demand_bytes = *on_demand_granules * DmaLeases::kGranule;
    }
    space_.emplace(map_.host(), map_.map(), Pages(0, kEnd), space);
    port_ = space_->CreatePort("disk");
  }

  absl::Status Touch(uint64_t page) {
    return port_->Map(Page(page), 8, DmaDirection::kBoth).status();
  }

  TestMap map_;
  std::shared_ptr<VmObject> object_;
  std::optional<DmaSpace> space_;
  std::unique_ptr<DmaPort> port_;
};

TEST_F(DmaSpaceTest, UnwiredMemoryIsRefusedAndNamed) {
  EXPECT_THAT(Touch(3), StatusIs(StatusCode::kFailedPrecondition,
                                 AllOf(HasSubstr("disk"), HasSubstr("is not wired"))));
}

TEST_F(DmaSpaceTest, OnlyTheWiredWindowIsReached) {
  const auto window = map_.map().Wire(Pages(2, 4));
  ASSERT_THAT(window, IsOk());

  EXPECT_THAT(Touch(2), IsOk());
  EXPECT_THAT(Touch(3), IsOk());
  EXPECT_THAT(port_->Map(Page(3), 2 * kPageSize, DmaDirection::kToDevice),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(Touch(4), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(DmaSpaceTest, PortWithWindowsSeesItsPartOnly) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  const auto narrow = space_->CreatePort("narrow", std::vector<GuestRange>{Pages(8, 10)});

  EXPECT_THAT(narrow->Map(Page(8), 2 * kPageSize, DmaDirection::kBoth), IsOk());
  EXPECT_THAT(narrow->Map(Page(9), 2 * kPageSize, DmaDirection::kBoth),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("narrow")));
  EXPECT_THAT(narrow->Map(Page(7), 8, DmaDirection::kToDevice),
              StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(narrow->Discard(Pages(0, 1)), StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(DmaSpaceTest, MappedMemoryStaysPinnedWhenItIsUnwiredMeanwhile) {
  auto wired = map_.map().Wire(Pages(0, 1));
  ASSERT_THAT(wired, IsOk());
  auto mapping = port_->Map(Page(0), 8, DmaDirection::kToDevice);
  ASSERT_THAT(mapping, IsOk());

  { const WiredRange gone = *std::move(wired); }

  EXPECT_TRUE(PinTable::IsPinned(*object_, 0));
  { const DmaMapping gone = *std::move(mapping); }
  EXPECT_FALSE(PinTable::IsPinned(*object_, 0));
}

TEST_F(DmaSpaceTest, WritesOfDevicesAreInTheDirtyLog) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  DirtyLog log(Pages(0, kEnd));
  space_->SetDirtyLog(&log);

  { const auto write = port_->Map(GuestAddress(kPageSize - 1), 2, DmaDirection::kFromDevice); }
  { const auto read = port_->Map(Page(7), 8, DmaDirection::kToDevice); }

  EXPECT_THAT(log.Take(), ElementsAre(Page(0), Page(1)));
  EXPECT_THAT(log.Take(), ElementsAre());
  space_->SetDirtyLog(nullptr);
}

TEST_F(DmaSpaceTest, MappingThatLivesOnIsDirtyWhenItIsSaidToBe) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  DirtyLog log(Pages(0, kEnd));
  space_->SetDirtyLog(&log);
  auto ring = port_->Map(Page(3), 8, DmaDirection::kFromDevice);
  ASSERT_THAT(ring, IsOk());

  ring->MarkWritten();

  EXPECT_THAT(log.Take(), ElementsAre(Page(3)));
  ring = absl::CancelledError("ended");
  space_->SetDirtyLog(nullptr);
}

TEST_F(DmaSpaceTest, QuarantinedWriteIsDirtyWhenItEndsToo) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  DirtyLog log(Pages(0, kEnd));
  space_->SetDirtyLog(&log);
  {
    auto write = port_->Map(Page(2), 8, DmaDirection::kFromDevice);
    write->BeginTransfer();
  }
  log.Take();

  port_->SetQuiet();

  EXPECT_THAT(log.Take(), ElementsAre(Page(2)));
  space_->SetDirtyLog(nullptr);
}

TEST_F(DmaSpaceTest, M49RevocationTellsTheHoldersAndWaitsForThem) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  auto mapping = port_->Map(Page(3), 8, DmaDirection::kToDevice);
  std::vector<GuestRange> told;
  std::jthread device;
  port_->SetRevokeListener([&](const GuestRange& range) {
    told.push_back(range);
    device = std::jthread([&] { mapping = absl::CancelledError("given back"); });
  });

  const auto revocation = space_->Revoke(Pages(2, 4), Patient());

  ASSERT_THAT(revocation, IsOk());
  EXPECT_THAT(told, ElementsAre(Pages(2, 4)));
  EXPECT_EQ(port_->stats().live, 0u);
  device.join();
  port_->SetRevokeListener(nullptr);
}

TEST_F(DmaSpaceTest, P59NothingIsMappedWhileItIsRevoked) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  {
    const auto revocation = space_->Revoke(Pages(2, 4), Soon());
    ASSERT_THAT(revocation, IsOk());

    EXPECT_THAT(Touch(2), StatusIs(StatusCode::kUnavailable, HasSubstr("taken back")));
    EXPECT_THAT(Touch(4), IsOk());
  }
  EXPECT_THAT(Touch(2), IsOk());
}

TEST_F(DmaSpaceTest, RevocationThatCannotWaitNamesTheHolderAndIsLifted) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  const auto mapping = port_->Map(Page(3), 8, DmaDirection::kToDevice);

  EXPECT_THAT(space_->Revoke(Pages(0, 8), Soon()),
              StatusIs(StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr("[0x3000, 0x4000)"), HasSubstr("disk (1)"))));

  EXPECT_THAT(Touch(4), IsOk());
}

TEST_F(DmaSpaceTest, QuarantinedMappingHoldsARevocationUp) {
  const auto all = map_.map().Wire(Pages(0, kEnd));
  ASSERT_THAT(all, IsOk());
  {
    auto write = port_->Map(Page(2), 8, DmaDirection::kFromDevice);
    write->BeginTransfer();
  }

  EXPECT_THAT(space_->Revoke(Pages(2, 3), Soon()), StatusIs(StatusCode::kDeadlineExceeded));
  port_->SetQuiet();
  EXPECT_THAT(space_->Revoke(Pages(2, 3), Soon()), IsOk());
}

TEST_F(DmaSpaceTest, RemovalRevokesAndRemoves) {
  {
    const auto some = map_.map().Wire(Pages(0, 2));
    ASSERT_THAT(some, IsOk());
    EXPECT_THAT(space_->Remove(Pages(0, 2), Soon()), StatusIs(StatusCode::kDeadlineExceeded))
        << "it is wired";
  }

  EXPECT_THAT(space_->Remove(Pages(0, 2), Soon()), IsOk());

  EXPECT_THAT(Touch(0), StatusIs(StatusCode::kNotFound));
}

TEST_F(DmaSpaceTest, HeldMemoryIsNotDiscarded) {
  auto wired = map_.map().Wire(Pages(0, 1));
  const auto mapping = port_->Map(Page(0), 8, DmaDirection::kToDevice);
  ASSERT_THAT(mapping, IsOk());
  { const WiredRange gone = *std::move(wired); }

  EXPECT_THAT(port_->Discard(Pages(0, 1)), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(port_->Discard(Pages(1, 2)), IsOk());
}

class OnDemandTest : public DmaSpaceTest {
 protected:
  OnDemandTest() : DmaSpaceTest(2, {.end_page = kEnd, .cache_pages = kGranulePages}) {}
};

TEST_F(OnDemandTest, FirstUseWiresTheGranuleAndTheNextIsAHit) {
  ASSERT_THAT(Touch(3), IsOk());
  ASSERT_THAT(Touch(5), IsOk());

  EXPECT_EQ(space_->lease_stats().misses, 1u);
  EXPECT_EQ(space_->lease_stats().kept_bytes, DmaLeases::kGranule);
  EXPECT_TRUE(PinTable::IsPinned(*object_, kGranulePages - 1));
  EXPECT_FALSE(PinTable::IsPinned(*object_, kGranulePages));
}

TEST_F(OnDemandTest, MappingOverTwoGranulesWiresBoth) {
  EXPECT_THAT(port_->Map(Page(kGranulePages - 1), 2 * kPageSize, DmaDirection::kBoth), IsOk());

  EXPECT_EQ(space_->lease_stats().misses, 1u);
  EXPECT_EQ(space_->lease_stats().granules, 2u);
}

TEST_F(OnDemandTest, OldestUnusedLeaseGoesFirstAndUsedOnesHaveASecondChance) {
  ASSERT_THAT(Touch(0 * kGranulePages), IsOk());
  ASSERT_THAT(Touch(1 * kGranulePages), IsOk());
  ASSERT_THAT(Touch(2 * kGranulePages), IsOk());  // All were used: the oldest goes.
  ASSERT_EQ(map_.Wires(0, 1), "0");

  ASSERT_THAT(Touch(3 * kGranulePages), IsOk());

  EXPECT_EQ(space_->lease_stats().evictions, 2u);
  EXPECT_THAT(Touch(2 * kGranulePages), IsOk());
  EXPECT_EQ(space_->lease_stats().misses, 4u) << "granule 2 was used since the last look";
}

TEST_F(OnDemandTest, EvictionLeavesARunningTransferItsPages) {
  const auto mapping = port_->Map(Page(0), 8, DmaDirection::kToDevice);
  ASSERT_THAT(mapping, IsOk());

  for (uint64_t i = 1; i < 4; ++i) ASSERT_THAT(Touch(i * kGranulePages), IsOk());

  EXPECT_TRUE(PinTable::IsPinned(*object_, 0));
}

TEST_F(OnDemandTest, LeaseThatIsGivenUpStaysInThePinCache) {
  for (uint64_t i = 0; i < 3; ++i) ASSERT_THAT(Touch(i * kGranulePages), IsOk());

  EXPECT_EQ(map_.pins().cache_stats().cached_bytes, DmaLeases::kGranule);
}

TEST_F(OnDemandTest, IdleLeaseDoesNotKeepAPageFromBeingDiscarded) {
  ASSERT_THAT(Touch(0), IsOk());

  EXPECT_THAT(port_->Discard(Pages(1, 2)), IsOk());

  EXPECT_EQ(space_->lease_stats().kept_bytes, 0u);
}

TEST_F(OnDemandTest, RevokedMemoryIsNotWiredAnew) {
  ASSERT_THAT(Touch(0), IsOk());

  const auto revocation = space_->Revoke(Pages(0, 4), Soon());

  ASSERT_THAT(revocation, IsOk());
  EXPECT_THAT(Touch(0), StatusIs(StatusCode::kUnavailable));
  EXPECT_EQ(space_->lease_stats().kept_bytes, 0u);
}

TEST_F(OnDemandTest, HoleInAGranuleIsPassedOver) {
  ASSERT_THAT(map_.map().Remove(Pages(4, 8)), IsOk());

  EXPECT_THAT(Touch(3), IsOk());
  EXPECT_THAT(Touch(4), StatusIs(StatusCode::kNotFound));
}

class SmallKeepTest : public DmaSpaceTest {
 protected:
  SmallKeepTest() : DmaSpaceTest(1, {.end_page = kEnd}) {}
};

TEST_F(SmallKeepTest, MappingLargerThanWhatIsKeptHasAllOfItWired) {
  EXPECT_THAT(port_->Map(Page(0), 3 * DmaLeases::kGranule, DmaDirection::kBoth), IsOk());

  EXPECT_EQ(space_->lease_stats().misses, 1u);
  EXPECT_EQ(space_->lease_stats().evictions, 0u);
}

TEST_F(SmallKeepTest, NextMissGoesBackToTheLimit) {
  EXPECT_THAT(port_->Map(Page(0), 3 * DmaLeases::kGranule, DmaDirection::kBoth), IsOk());

  ASSERT_THAT(Touch(3 * kGranulePages), IsOk());

  EXPECT_EQ(space_->lease_stats().kept_bytes, DmaLeases::kGranule);
}

TEST_F(SmallKeepTest, MappingThatLeavesMemoryWiresNothing) {
  EXPECT_THAT(port_->Map(Page(0), (kEnd + 1) * kPageSize, DmaDirection::kBoth),
              StatusIs(StatusCode::kNotFound, HasSubstr("disk")));

  EXPECT_EQ(space_->lease_stats().granules, 0u);
}

TEST_F(SmallKeepTest, DiscardThatIsRefusedLeavesTheLeases) {
  ASSERT_THAT(Touch(0), IsOk());

  EXPECT_THAT(port_->Discard(Pages(0, kEnd + 1)), StatusIs(StatusCode::kNotFound));

  EXPECT_EQ(space_->lease_stats().kept_bytes, DmaLeases::kGranule);
}

class OnDemandBudgetTest : public DmaSpaceTest {
 protected:
  OnDemandBudgetTest() : DmaSpaceTest(4, {.budget_pages = 2 * kGranulePages, .end_page = kEnd}) {}
};

TEST_F(OnDemandBudgetTest, BudgetThatIsShortTakesAnIdleLease) {
  for (uint64_t i = 0; i < 4; ++i) ASSERT_THAT(Touch(i * kGranulePages), IsOk());

  EXPECT_EQ(space_->lease_stats().evictions, 2u);
}

TEST_F(OnDemandBudgetTest, P57RequestLargerThanTheBudgetIsRefusedAndNamesIt) {
  EXPECT_THAT(port_->Map(Page(0), 3 * DmaLeases::kGranule, DmaDirection::kBoth),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("disk")));
}

}  // namespace
}  // namespace vmwire
