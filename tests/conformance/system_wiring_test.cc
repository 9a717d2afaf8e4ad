// Cases B: system wiring.
#include "tests/conformance/conformance_fixture.h"
#include "tests/support/wire_test_hooks.h"

namespace vmwire::conformance {
namespace {

class SystemWiring : public ConformanceTest {};

TEST_P(SystemWiring, B01WiringAnEntryPinsEachPageOnce) {
  const vm_object_t object = map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[10,20)w1");
  EXPECT_EQ(Pages(object), "[0,10)1p");
  EXPECT_EQ(ResidentPages(object), 10u);
  EXPECT_EQ(map_->UserPages(), 0u);
}

TEST_P(SystemWiring, B02WiringPartOfAnEntryClipsIt) {
  const vm_object_t object = map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(13, 16, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,13)w0 [13,16)w1 [16,20)w0");
  EXPECT_EQ(Pages(object), "[3,6)1p");
}

TEST_P(SystemWiring, B03WiringsNest) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w2");
  EXPECT_EQ(Pages(object), "[0,10)1p") << "a page counts entries, not their wirings";
  ExpectFaults(object, 10);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w1");
  EXPECT_EQ(Pages(object), "[0,10)1p");

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w0");
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SystemWiring, B04OverlappingWiringsNestAndUnwireTogether) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 16, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(14, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,14)w1 [14,16)w2 [16,20)w1");
  EXPECT_EQ(Pages(object), "[0,10)1p");

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,14)w0 [14,16)w1 [16,20)w0");
  EXPECT_EQ(Counts(object), "[4,6)1");
}

TEST_P(SystemWiring, B06EntriesOfOtherRightsAreNotMerged) {
  const vm_object_t object = objects_.New(10);
  ASSERT_EQ(map_->Insert(object, 0, 10, 15, kReadWrite), KERN_SUCCESS);
  ASSERT_EQ(map_->Insert(object, 5, 15, 20, kReadExecute), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w1");
}

// Frozen decisions: INVALID_ADDRESS, as FreeBSD has it.
TEST_P(SystemWiring, B07AnUnreadableEntryFailsAndIsUndone) {
  const vm_object_t object = map_->Map(10, 15);
  map_->Map(15, 20, kNone);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w0");
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SystemWiring, B08AnUnreadableEntryIsSkippedWithHolesOk) {
  const vm_object_t object = map_->Map(10, 15);
  map_->Map(15, 20, kNone);

  EXPECT_EQ(map_->Wire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w0");
  EXPECT_EQ(Pages(object), "[0,5)1p");
}

TEST_P(SystemWiring, B09ExecuteAloneSuffices) {
  const vm_object_t object = map_->Map(10, 20, kExecute);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[10,20)w1");
  EXPECT_EQ(Pages(object), "[0,10)1p");
}

TEST_P(SystemWiring, B11AReadOnlyEntryFailsWithTheWriteFlag) {
  map_->Map(10, 20, kRead);

  EXPECT_EQ(map_->Wire(10, 20, kS | VM_MAP_WIRE_WRITE), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(SystemWiring, B13AGuardFailsOrIsSkipped) {
  map_->Map(10, 15);
  map_->Guard(15, 16);
  map_->Map(16, 20);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,16)guard [16,20)w0");

  EXPECT_EQ(map_->Wire(10, 20, kSH), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,16)guard [16,20)w1");
  EXPECT_EQ(map_->EntryAt(15).system_wires, 0u);
}

TEST_P(SystemWiring, B14AHoleInTheMiddleFailsAndIsUndone) {
  const vm_object_t object = map_->Map(10, 15);
  map_->Map(17, 20);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [17,20)w0");
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SystemWiring, B15AHoleAtTheEndFailsAndIsUndone) {
  const vm_object_t object = map_->Map(10, 15);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w0");
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SystemWiring, B16AHoleAtTheStartFailsBeforeAnyFault) {
  const vm_object_t object = map_->Map(15, 20);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[15,20)w0");
  EXPECT_EQ(ResidentPages(object), 0u);
  ExpectFaults(object, 0);
}

TEST_P(SystemWiring, B18UnwiringWhatIsNotWiredIsInvalid) {
  map_->Map(10, 20);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);
}

TEST_P(SystemWiring, B19UnwiringIsAllOrNothing) {
  const vm_object_t object = map_->Map(10, 15);
  map_->Map(15, 20);
  ASSERT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);

  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w0");
  EXPECT_EQ(Pages(object), "[0,5)1p");
}

TEST_P(SystemWiring, B20AUserWiringIsNoSystemWiring) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ARGUMENT);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
}

TEST_P(SystemWiring, B21UnwiringOverAHoleChangesNothing) {
  map_->Map(10, 15);
  map_->Map(17, 20);
  ASSERT_EQ(map_->Wire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w1 [17,20)w1");
}

// Frozen decisions (X5): HOLESOK unwire is the inverse of HOLESOK wire.
TEST_P(SystemWiring, B23UnwiringWithHolesOkSkipsWhatIsNotWired) {
  const vm_object_t object = map_->Map(10, 15);
  map_->Map(15, 17, kNone);
  map_->Map(18, 20);
  ASSERT_EQ(map_->Wire(10, 20, kSH), KERN_SUCCESS);
  ASSERT_EQ(map_->Entries(), "[10,15)w1 [15,17)w0 [18,20)w1");

  EXPECT_EQ(map_->Unwire(10, 20, kSH), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,17)w0 [18,20)w0");
  EXPECT_EQ(Pages(object), "");
}

// "Pages that a longer pinned extent covers stay pinned after a partial unwire until the extent's
// last wired page goes": so the counts are compared.
TEST_P(SystemWiring, B24UnwiringTheMiddleLeavesBothEnds) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(13, 16, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,13)w1 [13,16)w0 [16,20)w1");
  EXPECT_EQ(Counts(object), "[0,3)1 [6,10)1");
}

TEST_P(SystemWiring, B25ACountAtItsMaximumIsAShortage) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  vmwire_test_set_system_wires(map_->handle(), 10 * kPage, UINT32_MAX);
  const uint32_t maximum = map_->EntryAt(10).system_wires;

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->EntryAt(10).system_wires, maximum);
  vmwire_test_set_system_wires(map_->handle(), 10 * kPage, 1);
}

TEST_P(SystemWiring, B27UnwiringDoesNotLookAtTheRights) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Protect(10, 20, kNone), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
  EXPECT_EQ(Pages(object), "");
}

TEST_P(SystemWiring, B29EntriesOfOtherObjectsAreNeverMerged) {
  map_->Map(10, 20);
  map_->Map(20, 30);

  EXPECT_EQ(map_->Wire(10, 30, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w1 [20,30)w1");

  EXPECT_EQ(map_->Unwire(10, 30, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w0 [20,30)w0");
}

VMWIRE_ON_EACH_BACKING(SystemWiring);

}  // namespace
}  // namespace vmwire::conformance
