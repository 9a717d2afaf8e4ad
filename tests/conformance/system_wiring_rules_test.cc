// The rules of system wiring beyond its cases (NB): order of checks, rollback, merging, large
// requests. Sections 1.4 to 1.7.
#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

class SystemWiringRules : public ConformanceTest {};
class SimulatedSystemWiring : public ConformanceTest {};

TEST_P(SystemWiringRules, NB01RollbackRestoresNestedCounts) {
  const vm_object_t object = map_->Map(10, 15);
  map_->Guard(15, 16);
  ASSERT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 12, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 16, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,12)w2 [12,15)w1 [15,16)guard");
  EXPECT_EQ(Pages(object), "[0,5)1p");
}

TEST_P(SystemWiringRules, NB02RollbackMergesWhatItClipped) {
  map_->Map(10, 20);
  map_->Map(20, 30, kNone);

  EXPECT_EQ(map_->Wire(15, 25, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0 [20,30)w0");
}

TEST_P(SystemWiringRules, NB03HolesOkOverAGapAloneSucceeds) {
  map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(30, 40, kSH), KERN_SUCCESS);
  EXPECT_EQ(map_->Unwire(30, 40, kSH), KERN_SUCCESS);
  EXPECT_EQ(map_->Unwire(30, 40, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(SystemWiringRules, NB04HolesOkWiresBothSidesOfAHoleAndClips) {
  map_->Map(10, 20);
  map_->Map(25, 40);

  EXPECT_EQ(map_->Wire(15, 30, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w1 [25,30)w1 [30,40)w0");
}

TEST_P(SystemWiringRules, NB05HolesOkWithWriteSkipsReadOnlyEntries) {
  map_->Map(10, 15);
  map_->Map(15, 20, kRead);

  EXPECT_EQ(map_->Wire(10, 20, kSH | VM_MAP_WIRE_WRITE), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w0");
}

TEST_P(SystemWiringRules, NB06TheWriteFlagAcceptsAWritableEntry) {
  map_->Map(10, 20, kReadWrite);

  EXPECT_EQ(map_->Wire(10, 20, kS | VM_MAP_WIRE_WRITE), KERN_SUCCESS) << map_->error();
}

// Section 1.6 (d): neither READ nor EXECUTE is unwirable, though WRITE is there.
TEST_P(SystemWiringRules, NB07WriteAloneIsUnreadable) {
  map_->Map(10, 20, VM_PROT_WRITE);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Wire(10, 20, kS | VM_MAP_WIRE_WRITE), KERN_INVALID_ADDRESS);
}

// Section 1.7: the gap after an entry is looked at before its own wirings.
TEST_P(SystemWiringRules, NB08UnwireReportsTheGapAfterAnEntryFirst) {
  map_->Map(10, 15);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ADDRESS);
}

TEST_P(SystemWiringRules, NB09UnwireReportsAnUnwiredEntryBeforeALaterGap) {
  map_->Map(10, 13);
  map_->Map(13, 15);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);
}

TEST_P(SystemWiringRules, NB10UnwireStartingInAGapIsAHole) {
  map_->Map(15, 20);
  ASSERT_EQ(map_->Wire(15, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Unwire(10, 20, kU), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[15,20)w1");
}

TEST_P(SystemWiringRules, NB11AGuardIsAnEntryWithoutWirings) {
  map_->Map(10, 15);
  map_->Guard(15, 16);
  map_->Map(16, 20);
  ASSERT_EQ(map_->Wire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS) << "no user wiring is no error";
  EXPECT_EQ(map_->Unwire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,16)guard [16,20)w0");
}

TEST_P(SystemWiringRules, NB12UnwireWithHolesOkOfAPartlyWiredEntry) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(12, 14, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SystemWiringRules, NB13UnwireWithHolesOkLeavesUserWirings) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
}

TEST_P(SystemWiringRules, NB14EqualCountsMergeAgain) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(13, 16, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Entries(), "[10,13)w1 [13,16)w2 [16,20)w1");

  ASSERT_EQ(map_->Unwire(13, 16, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w1");
}

// Two counters an entry: one system wiring is not one user wiring, though the totals are equal.
TEST_P(SystemWiringRules, NB15SystemAndUserWiringsDoNotMerge) {
  map_->Map(10, 20);

  ASSERT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(15, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w1U");
}

TEST_P(SystemWiringRules, NB16ManyWiringsNeedAsManyUnwirings) {
  const vm_object_t object = map_->Map(10, 20);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  }
  EXPECT_EQ(map_->EntryAt(10).system_wires, 100u);

  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Pages(object), "[0,10)1p");
    ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  }

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SystemWiringRules, NB17UnwiringAPartOfANestedRangeKeepsThePages) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Unwire(13, 16, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,13)w2 [13,16)w1 [16,20)w2");
  EXPECT_EQ(Pages(object), "[0,10)1p");
}

TEST_P(SystemWiringRules, NB18UnwireIsAllOrNothingOverNestedEntries) {
  map_->Map(10, 15);
  map_->Map(15, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w0");
  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);
  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w0");
}

TEST_P(SystemWiringRules, NB19AGuardOrAnUnreadableEntryAtTheStartComesBeforeAnyFault) {
  const vm_object_t object = map_->Map(15, 20);
  map_->Guard(10, 12);
  map_->Map(12, 15, kNone);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Wire(12, 20, kS), KERN_INVALID_ADDRESS);

  ExpectFaults(object, 0);
}

VMWIRE_ON_EACH_BACKING(SystemWiringRules);

TEST_P(SimulatedSystemWiring, NB20RollbackAfterAFaultRestoresBoundaries) {
  const vm_object_t object = map_->Map(10, 30);
  ASSERT_EQ(vm_object_fail_fault_at(object, 7, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(13, 25, kS), KERN_FAILURE);

  EXPECT_EQ(map_->Entries(), "[10,30)w0");
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SimulatedSystemWiring, NB21TheCodeOfAFaultIsReturnedUnchanged) {
  const vm_object_t object = map_->Map(10, 20);
  for (const int code : {KERN_INVALID_ADDRESS, KERN_PROTECTION_FAILURE, KERN_NO_SPACE, KERN_FAILURE,
                         KERN_RESOURCE_SHORTAGE, KERN_NO_ACCESS, KERN_OUT_OF_BOUNDS}) {
    ASSERT_EQ(vm_object_fail_fault_at(object, 4, code), KERN_SUCCESS);

    EXPECT_EQ(map_->Wire(10, 20, kS), code);
  }
  ASSERT_EQ(vm_object_fail_fault_at(object, 4, KERN_SUCCESS), KERN_SUCCESS);
}

// HOLESOK passes over gaps and rights; a fault that fails is neither.
TEST_P(SimulatedSystemWiring, NB22HolesOkDoesNotPassOverAFaultThatFails) {
  const vm_object_t object = map_->Map(10, 20);
  const vm_object_t other = map_->Map(25, 30);
  ASSERT_EQ(vm_object_fail_fault_at(other, 0, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 40, kSH), KERN_FAILURE);

  EXPECT_EQ(map_->Entries(), "[10,20)w0 [25,30)w0");
  EXPECT_EQ(Pages(object), "");
}

// "A hole directly after an entry is reported only after that entry has been faulted in."
TEST_P(SimulatedSystemWiring, NB23AFaultComesBeforeTheHoleAfterItsEntry) {
  const vm_object_t object = map_->Map(10, 15);
  ASSERT_EQ(vm_object_fail_fault_at(object, 2, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_FAILURE);
}

TEST_P(SimulatedSystemWiring, NB24ASecondWiringFaultsNothing) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(vm_object_fail_fault_at(object, 3, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS) << map_->error();

  ExpectFaults(object, 10);
}

TEST_P(SimulatedSystemWiring, NB25AFaultIsCountedOnlyForPagesThatAreNotResident) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Unwire(10, 15, kS), KERN_SUCCESS);
  ExpectFaults(object, 5);

  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  ExpectFaults(object, 10);
}

// X2: a failure after an earlier entry was nested and another was wired anew.
TEST_P(SimulatedSystemWiring, NB26RollbackOverMixedEntriesRestoresEachCount) {
  const vm_object_t first = map_->Map(10, 15);
  map_->Map(15, 20);
  const vm_object_t last = map_->Map(20, 25);
  ASSERT_EQ(map_->Wire(12, 14, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(15, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(vm_object_fail_fault_at(last, 4, KERN_FAILURE), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 25, kS), KERN_FAILURE);
  EXPECT_EQ(map_->Wire(10, 25, kU), KERN_FAILURE);

  EXPECT_EQ(map_->Entries(), "[10,12)w0 [12,14)w1 [14,15)w0 [15,20)w1U [20,25)w0");
  EXPECT_EQ(Pages(first), "[2,4)1p");
  EXPECT_EQ(map_->UserPages(), 5u);
}

VMWIRE_ON_SIMULATED_MEMORY(SimulatedSystemWiring);

}  // namespace
}  // namespace vmwire::conformance
