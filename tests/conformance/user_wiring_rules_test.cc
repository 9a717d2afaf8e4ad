// The rules of user wiring beyond its cases (NC): what is charged and refunded, in which order
// limits are checked, and requests that cannot fit.
#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

class UserWiringRules : public ConformanceTest {};
class SimulatedUserWiring : public ConformanceTest {};

// X1: each order of a user and a system wiring that overlap in time.
TEST_P(UserWiringRules, NC01AUserWiringInsideASystemWiringIsRefunded) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w2U");
  EXPECT_EQ(map_->UserPages(), 10u);

  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->UserPages(), 10u);
  ASSERT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->UserPages(), 0u);
  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(UserWiringRules, NC02AUserWiringUnderASystemWiringIsRefunded) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->UserPages(), 0u);
  EXPECT_EQ(map_->Entries(), "[10,20)w1");
  EXPECT_EQ(Pages(object), "[0,10)1p");
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->UserPages(), 0u);
  EXPECT_EQ(Pages(object), "");
}

TEST_P(UserWiringRules, NC03OneUserUnwireTakesAwayAllUserWires) {
  map_->Map(10, 20);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  }

  ASSERT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(UserWiringRules, NC04OnlyThePagesThatAreNotUserWiredAreCharged) {
  map_->Map(10, 20);
  map_->LimitUserPages(10);
  ASSERT_EQ(map_->Wire(10, 16, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(14, 20, kU), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
  EXPECT_EQ(map_->UserPages(), 10u);
}

TEST_P(UserWiringRules, NC05WhatHolesOkSkipsIsNotCharged) {
  map_->Map(10, 15);
  map_->Map(15, 30, kNone);
  map_->Guard(30, 40);
  map_->LimitUserPages(5);

  EXPECT_EQ(map_->Wire(5, 50, kUH), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->UserPages(), 5u);
}

// "The order of checks for one entry: ... limit, fault, hole after it. So a range whose first entry
// is too big for the limit and which has a hole later reports RESOURCE_SHORTAGE."
TEST_P(UserWiringRules, NC06TheLimitComesBeforeAHoleAfterTheEntry) {
  const vm_object_t object = map_->Map(10, 20);
  map_->LimitUserPages(5);

  EXPECT_EQ(map_->Wire(10, 30, kU), KERN_RESOURCE_SHORTAGE);

  ExpectFaults(object, 0);
}

// "... except that an obstacle at its very start is reported first."
TEST_P(UserWiringRules, NC07AnObstacleAtTheStartComesBeforeTheLimit) {
  map_->Guard(15, 16);
  map_->Map(16, 20, kNone);
  map_->Map(20, 30, kRead);
  map_->LimitUserPages(0);

  EXPECT_EQ(map_->Wire(10, 30, kU), KERN_INVALID_ADDRESS) << "a hole";
  EXPECT_EQ(map_->Wire(15, 30, kU), KERN_INVALID_ADDRESS) << "a guard";
  EXPECT_EQ(map_->Wire(16, 30, kU), KERN_INVALID_ADDRESS) << "an unreadable entry";
  EXPECT_EQ(map_->Wire(20, 30, kU | VM_MAP_WIRE_WRITE), KERN_INVALID_ADDRESS) << "a read-only one";
  EXPECT_EQ(map_->Wire(20, 30, kU), KERN_RESOURCE_SHORTAGE);
}

TEST_P(UserWiringRules, NC08AnObstacleLaterIsReportedWhenTheLimitSuffices) {
  map_->Map(10, 15);
  map_->Map(15, 20, kNone);
  map_->LimitUserPages(10);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->UserPages(), 0u);
}

// "A request that cannot fit the budget whatever it finds is refused by a preflight sum before the
// first fault": no entry alone is over the limit.
TEST_P(UserWiringRules, NC09ASumOverTheLimitIsRefusedBeforeTheFirstFault) {
  const vm_object_t first = map_->Map(10, 15);
  const vm_object_t second = map_->Map(15, 20);
  map_->LimitUserPages(9);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w0");
  ExpectFaults(first, 0);
  ExpectFaults(second, 0);
}

TEST_P(UserWiringRules, NC10HolesOkOverTheLimitIsAShortageToo) {
  map_->Map(10, 15);
  map_->Map(17, 22);
  map_->LimitUserPages(9);

  EXPECT_EQ(map_->Wire(10, 30, kUH), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [17,22)w0");
}

TEST_P(UserWiringRules, NC11UnwiringAHoleIsAHoleAndChangesNothing) {
  map_->Map(10, 15);
  map_->Map(17, 20);
  ASSERT_EQ(map_->Wire(10, 20, kUH), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kU), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Entries(), "[10,15)w1U [17,20)w1U");
  EXPECT_EQ(map_->Unwire(10, 20, kUH), KERN_SUCCESS);
  EXPECT_EQ(map_->UserPages(), 0u);
}

TEST_P(UserWiringRules, NC12UnwiringUserWiringsLooksAtNoRights) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Protect(10, 20, kNone), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->UserPages(), 0u);
}

TEST_P(UserWiringRules, NC13EachMapHasItsOwnAccount) {
  const vm_object_t object = map_->Map(10, 20);
  std::unique_ptr<TestMap> other = NewMap(0, 1000);
  ASSERT_EQ(other->Insert(object, 0, 50, 60), KERN_SUCCESS);
  other->LimitUserPages(3);

  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  EXPECT_EQ(other->Wire(50, 54, kU), KERN_RESOURCE_SHORTAGE);
  EXPECT_EQ(other->Wire(50, 53, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->UserPages(), 10u);
  EXPECT_EQ(other->UserPages(), 3u);
}

TEST_P(UserWiringRules, NC14RaisingTheLimitLetsTheWiringThrough) {
  map_->Map(10, 20);
  map_->LimitUserPages(9);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_RESOURCE_SHORTAGE);

  map_->LimitUserPages(UINT64_MAX);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS) << map_->error();
}

TEST_P(UserWiringRules, NC15TheLimitIsNoBarToWhatIsUserWiredAlready) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  map_->LimitUserPages(0);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS) << "nothing is charged";
}

// Which of the two is reported depends on whether a budget is short: both are true.
TEST_P(UserWiringRules, NC19ASystemWiringOfTwoToTheFortyPagesIsRefused) {
  constexpr uint64_t kPages = uint64_t{1} << 40;
  map_ = NewMap(0, kPages);
  const vm_object_t object = objects_.New(100);
  ASSERT_EQ(map_->Insert(object, 0, 0, kPages), KERN_SUCCESS) << map_->error();

  EXPECT_THAT(map_->Wire(0, kPages, kS),
              testing::AnyOf(KERN_OUT_OF_BOUNDS, KERN_RESOURCE_SHORTAGE));

  EXPECT_EQ(map_->EntryAt(0).end, kPages * kPage);
}

VMWIRE_ON_EACH_BACKING(UserWiringRules);

TEST_P(SimulatedUserWiring, NC16AFaultThatFailsRefundsTheCharge) {
  map_->Map(10, 15);
  const vm_object_t object = map_->Map(15, 20);
  map_->LimitUserPages(10);
  ASSERT_EQ(vm_object_fail_fault_at(object, 2, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_FAILURE);
  EXPECT_EQ(map_->UserPages(), 0u);

  ASSERT_EQ(vm_object_fail_fault_at(object, 2, KERN_SUCCESS), KERN_SUCCESS);
  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS) << map_->error();
}

TEST_P(SimulatedUserWiring, NC17TwoToTheFortyPagesAreRefusedBeforeTheFirstFault) {
  constexpr uint64_t kPages = uint64_t{1} << 40;
  map_ = NewMap(0, 2 * kPages);
  const vm_object_t object = objects_.New(1000);
  ASSERT_EQ(map_->Insert(object, 0, 0, kPages), KERN_SUCCESS) << map_->error();
  map_->LimitUserPages(1000);

  EXPECT_EQ(map_->Wire(0, kPages, kU), KERN_RESOURCE_SHORTAGE);
  EXPECT_EQ(map_->WireAll(), KERN_RESOURCE_SHORTAGE);

  ExpectFaults(object, 0);
}

TEST_P(SimulatedUserWiring, NC18TheHighestPageOfTheAddressSpaceCanBeWired) {
  constexpr uint64_t kTop = UINT64_MAX / kPage;  // The end of the map, in pages: 2^52 - 1.
  map_ = NewMap(0, kTop);
  const vm_object_t object = map_->Map(kTop - 10, kTop);

  EXPECT_EQ(map_->Wire(kTop - 1, kTop, kU), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->UserPages(), 1u);
  EXPECT_EQ(Pages(object), "[9,10)1p");
}

VMWIRE_ON_SIMULATED_MEMORY(SimulatedUserWiring);

}  // namespace
}  // namespace vmwire::conformance
