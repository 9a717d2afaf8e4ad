// Cases F: future wirings, and wirings of all there is; and their rules (NF).
#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

class WireFuture : public ConformanceTest {};
class SimulatedWireFuture : public ConformanceTest {};

TEST_P(WireFuture, F01AnInsertedEntryIsUserWired) {
  map_->SetWireFuture(true);

  const vm_object_t object = map_->Map(10, 20);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
  EXPECT_EQ(map_->UserPages(), 10u);
  EXPECT_EQ(Pages(object), "[0,10)1p");
}

// Frozen decisions (X8): strict, unlike FreeBSD.
TEST_P(WireFuture, F02AnInsertWhoseWiringFailsLeavesNothing) {
  map_->SetWireFuture(true);
  map_->LimitUserPages(9);
  const vm_object_t object = objects_.New(10);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->Entries(), "");
  EXPECT_EQ(map_->UserPages(), 0u);
}

TEST_P(WireFuture, F03UnwireAllLeavesSystemWirings) {
  map_->SetWireFuture(true);
  map_->Map(10, 20);
  map_->Map(30, 40);
  ASSERT_EQ(map_->Wire(30, 40, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Entries(), "[10,20)w1U [30,40)w2U");

  EXPECT_EQ(map_->UnwireAll(), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[10,20)w0 [30,40)w1");
  EXPECT_EQ(map_->UserPages(), 0u);
  map_->Map(50, 60);
  EXPECT_EQ(map_->Entries(), "[10,20)w0 [30,40)w1 [50,60)w0") << "wire-future is off";
}

TEST_P(WireFuture, F06WireAllIsNotForTheFuture) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->WireAll(), KERN_SUCCESS);

  map_->Map(30, 40);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U [30,40)w0");
}

TEST_P(WireFuture, F09WireFutureIsNotForThePast) {
  map_->Map(10, 20);

  map_->SetWireFuture(true);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(WireFuture, NF01AnEntryPastItsObjectsEndIsNotInserted) {
  map_->SetWireFuture(true);
  const vm_object_t object = objects_.New(5);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_OUT_OF_BOUNDS);

  EXPECT_EQ(map_->Entries(), "");
}

// The wiring is USER with NOHOLES (section 1.14), which an unreadable entry fails.
TEST_P(WireFuture, NF02AnUnreadableEntryIsNotInserted) {
  map_->SetWireFuture(true);
  const vm_object_t object = objects_.New(10);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20, kNone), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "");
}

TEST_P(WireFuture, NF03AGuardIsInsertedAndNotWired) {
  map_->SetWireFuture(true);

  map_->Guard(10, 11);

  EXPECT_EQ(map_->Entries(), "[10,11)guard");
}

TEST_P(WireFuture, NF04TheNewEntryJoinsAUserWiredNeighbour) {
  const vm_object_t object = objects_.New(10);
  map_->SetWireFuture(true);
  ASSERT_EQ(map_->Insert(object, 0, 10, 15), KERN_SUCCESS);

  ASSERT_EQ(map_->Insert(object, 5, 15, 20), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
  EXPECT_EQ(map_->UserPages(), 10u);
}

TEST_P(WireFuture, NF05AFailedInsertDoesNotTouchItsNeighbour) {
  const vm_object_t object = objects_.New(10);
  ASSERT_EQ(map_->Insert(object, 0, 10, 15), KERN_SUCCESS);
  map_->SetWireFuture(true);
  map_->LimitUserPages(4);

  EXPECT_EQ(map_->Insert(object, 5, 15, 20), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->Entries(), "[10,15)w0");
}

TEST_P(WireFuture, NF06AFailedInsertDropsItsReference) {
  map_->SetWireFuture(true);
  map_->LimitUserPages(4);
  const vm_object_t object = objects_.New(10);
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_RESOURCE_SHORTAGE);

  objects_.Drop(object);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_INVALID_ARGUMENT) << "it is gone";
}

TEST_P(WireFuture, NF07WireFutureCanBeSwitchedOff) {
  map_->SetWireFuture(true);
  map_->SetWireFuture(false);

  map_->Map(10, 20);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(WireFuture, NF08WireAllSkipsWhatCannotBeWired) {
  map_->Map(10, 20);
  map_->Guard(20, 21);
  map_->Map(30, 40, kNone);
  map_->Map(50, 60, kRead);

  EXPECT_EQ(map_->WireAll(), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[10,20)w1U [20,21)guard [30,40)w0 [50,60)w1U");
  EXPECT_EQ(map_->UserPages(), 20u);
}

TEST_P(WireFuture, NF09WireAllOverTheLimitChangesNothing) {
  map_->Map(10, 20);
  map_->Map(30, 40);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  map_->LimitUserPages(19);

  EXPECT_EQ(map_->WireAll(), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U [30,40)w0");
}

// C14's rule on the map layer: what is user-wired is not charged again.
TEST_P(WireFuture, NF10WireAllChargesOnlyWhatIsNotUserWiredYet) {
  map_->Map(10, 20);
  map_->Map(30, 40);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  map_->LimitUserPages(20);

  EXPECT_EQ(map_->WireAll(), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->UserPages(), 20u);
}

TEST_P(WireFuture, NF11AllOfAnEmptyMapSucceeds) {
  EXPECT_EQ(map_->WireAll(), KERN_SUCCESS);
  EXPECT_EQ(map_->UnwireAll(), KERN_SUCCESS);
}

// HOLESOK passes over gaps and rights, not over a backing that ends.
TEST_P(WireFuture, NF12WireAllFailsAtTheEndOfAnObject) {
  map_->Map(5, 8);
  const vm_object_t object = objects_.New(5);
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS);

  EXPECT_EQ(map_->WireAll(), KERN_OUT_OF_BOUNDS);

  EXPECT_EQ(map_->Entries(), "[5,8)w0 [10,20)w0");
}

VMWIRE_ON_EACH_BACKING(WireFuture);

TEST_P(SimulatedWireFuture, NF13AnInsertWhoseFaultFailsReturnsItsCodeAndLeavesNothing) {
  map_->SetWireFuture(true);
  const vm_object_t object = objects_.New(10);
  ASSERT_EQ(vm_object_fail_fault_at(object, 9, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_FAILURE);
  EXPECT_EQ(map_->Entries(), "");

  ASSERT_EQ(vm_object_fail_fault_at(object, 9, KERN_SUCCESS), KERN_SUCCESS);
  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
}

VMWIRE_ON_SIMULATED_MEMORY(SimulatedWireFuture);

}  // namespace
}  // namespace vmwire::conformance
