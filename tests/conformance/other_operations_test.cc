// Cases E: other operations on wired entries; and the rules of remove, protect, insert, clip,
// discard and destroy (NE).
#include <chrono>
#include <thread>

#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

class OtherOperations : public ConformanceTest {};

constexpr int64_t kMillisecond = 1'000'000;

TEST_P(OtherOperations, E01RemovingPartOfAUserWiringDropsThatPart) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(12, 14), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[10,12)w1U [14,20)w1U");
  EXPECT_EQ(map_->UserPages(), 8u);
  EXPECT_EQ(Counts(object), "[0,2)1 [4,10)1");
}

TEST_P(OtherOperations, E02RemovingASystemWiringIsRefused) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(10, 20), KERN_FAILURE);

  EXPECT_EQ(map_->Entries(), "[10,20)w1");
}

TEST_P(OtherOperations, E02RemoveWaitCompletesAfterTheUnwire) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  int code = -1;
  std::thread remover(
      [&] { code = vm_map_remove_wait(map_->handle(), 10 * kPage, 20 * kPage, -1); });

  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  vm_map_entry_info entry = {};
  EXPECT_EQ(vm_map_entry_at(map_->handle(), 10 * kPage, &entry), KERN_SUCCESS);
  EXPECT_EQ(vm_map_unwire(map_->handle(), 10 * kPage, 20 * kPage, kS), KERN_SUCCESS);
  remover.join();

  EXPECT_EQ(code, KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "");
}

// vm_map_fixed is a remove and an insert here.
TEST_P(OtherOperations, E05ANewEntryOverAUserWiringIsNotWired) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(12, 14), KERN_SUCCESS);
  map_->Map(12, 14);

  EXPECT_EQ(map_->Entries(), "[10,12)w1U [12,14)w0 [14,20)w1U");
  EXPECT_EQ(map_->UserPages(), 8u);
}

TEST_P(OtherOperations, E07RightsAboveTheMaximumAreRefused) {
  map_->Map(10, 20, kRead, kRead);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Protect(10, 20, kReadWrite), KERN_PROTECTION_FAILURE);

  EXPECT_EQ(map_->EntryAt(10).protection, kRead);
  EXPECT_EQ(map_->Entries(), "[10,20)w1");
}

TEST_P(OtherOperations, E14InsertingOverAWiredEntryIsRefused) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  const vm_object_t other = objects_.New(10);

  EXPECT_EQ(map_->Insert(other, 0, 15, 25), KERN_NO_SPACE);

  EXPECT_EQ(map_->Entries(), "[10,20)w1");
}

TEST_P(OtherOperations, E17DestroyingTheMapDropsUserWirings) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Destroy(), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(Pages(object), "");
}

TEST_P(OtherOperations, E18DestroyingAMapWithASystemWiringIsRefused) {
  const vm_object_t object = map_->Map(10, 20);
  map_->Map(30, 40);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(35, 40, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Destroy(), KERN_FAILURE);
  EXPECT_EQ(map_->Entries(), "[10,20)w1U [30,35)w0 [35,40)w1");
  EXPECT_EQ(Pages(object), "[0,10)1p");

  ASSERT_EQ(map_->Unwire(35, 40, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Destroy(), KERN_SUCCESS) << map_->error();
}

// X13: the whole range is checked first.
TEST_P(OtherOperations, NE01RemoveChecksTheWholeRangeFirst) {
  map_->Map(10, 15);
  map_->Map(15, 20);
  map_->Map(25, 30);
  ASSERT_EQ(map_->Wire(10, 15, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(29, 30, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(10, 30), KERN_FAILURE);
  EXPECT_EQ(map_->Entries(), "[10,15)w1U [15,20)w0 [25,29)w0 [29,30)w1");

  EXPECT_EQ(map_->Remove(10, 29), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Entries(), "[29,30)w1");
}

TEST_P(OtherOperations, NE02RemoveOfUserAndSystemWiringIsRefusedAndKeepsBoth) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(10, 20), KERN_FAILURE);

  EXPECT_EQ(map_->Entries(), "[10,20)w2U");
  EXPECT_EQ(map_->UserPages(), 10u);
}

TEST_P(OtherOperations, NE03RemovePassesOverGapsAndTakesGuards) {
  map_->Map(10, 15);
  map_->Guard(15, 16);
  map_->Map(20, 30);

  EXPECT_EQ(map_->Remove(5, 25), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Entries(), "[25,30)w0");
  EXPECT_EQ(map_->Remove(100, 200), KERN_SUCCESS) << "nothing but a gap";
}

TEST_P(OtherOperations, NE04RemoveOfThePagesBesideASystemWiringSucceeds) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(13, 16, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(10, 13), KERN_SUCCESS);
  EXPECT_EQ(map_->Remove(16, 20), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[13,16)w1");
}

TEST_P(OtherOperations, NE05RemoveWaitGivesUpInTime) {
  map_->Map(10, 15);
  map_->Map(15, 20);
  ASSERT_EQ(map_->Wire(15, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->RemoveWait(10, 20, 0), KERN_FAILURE) << "once";
  EXPECT_EQ(map_->RemoveWait(10, 20, 5 * kMillisecond), KERN_FAILURE);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w1");
}

TEST_P(OtherOperations, NE06RemoveWaitOfWhatIsNotWiredDoesNotWait) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->RemoveWait(10, 20, 0), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->UserPages(), 0u);
}

TEST_P(OtherOperations, NE07ProtectPassesOverGapsAndGuards) {
  map_->Map(10, 15);
  map_->Guard(15, 16);
  map_->Map(18, 20);

  EXPECT_EQ(map_->Protect(5, 30, kRead), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->EntryAt(10).protection, kRead);
  EXPECT_EQ(map_->EntryAt(15).protection, kNone);
  EXPECT_TRUE(map_->EntryAt(15).guard);
  EXPECT_EQ(map_->EntryAt(18).protection, kRead);
}

TEST_P(OtherOperations, NE08ProtectIsAllOrNothing) {
  map_->Map(10, 15, kRead, kAll);
  map_->Map(15, 20, kRead, kReadExecute);

  EXPECT_EQ(map_->Protect(10, 20, kReadWrite), KERN_PROTECTION_FAILURE);

  EXPECT_EQ(map_->EntryAt(10).protection, kRead);
}

TEST_P(OtherOperations, NE09ProtectOfPartClipsAndMergesBack) {
  map_->Map(10, 20);

  ASSERT_EQ(map_->Protect(13, 16, kRead), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,13)w0 [13,16)w0 [16,20)w0");
  EXPECT_EQ(map_->EntryAt(13).protection, kRead);
  EXPECT_EQ(map_->EntryAt(16).protection, kReadWrite);

  ASSERT_EQ(map_->Protect(13, 16, kReadWrite), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w0");
}

TEST_P(OtherOperations, NE10WiringsStayWhateverTheRights) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  ASSERT_EQ(map_->Protect(10, 20, kNone), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w2U");
  EXPECT_EQ(Pages(object), "[0,10)1p");

  EXPECT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(Pages(object), "");
}

TEST_P(OtherOperations, NE11WiringAgainAfterTheRightsAreGoneFails) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Protect(10, 20, kNone), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_INVALID_ADDRESS);
  EXPECT_EQ(map_->Wire(10, 20, kSH), KERN_SUCCESS) << "skipped";

  EXPECT_EQ(map_->Entries(), "[10,20)w1");
}

TEST_P(OtherOperations, NE12InsertMergesWithAnEqualNeighbour) {
  const vm_object_t object = objects_.New(30);

  ASSERT_EQ(map_->Insert(object, 0, 10, 15), KERN_SUCCESS);
  ASSERT_EQ(map_->Insert(object, 5, 15, 20), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w0");
  ASSERT_EQ(map_->Insert(object, 15, 25, 30), KERN_SUCCESS);
  ASSERT_EQ(map_->Insert(object, 10, 20, 25), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,30)w0") << "it closed the gap between two";
}

TEST_P(OtherOperations, NE13InsertDoesNotMergeWhatDiffers) {
  const vm_object_t object = objects_.New(30);
  ASSERT_EQ(map_->Insert(object, 0, 10, 15), KERN_SUCCESS);

  ASSERT_EQ(map_->Insert(object, 6, 15, 20), KERN_SUCCESS) << "another offset";
  ASSERT_EQ(map_->Insert(object, 11, 20, 25, kRead), KERN_SUCCESS) << "other rights";
  ASSERT_EQ(map_->Insert(object, 16, 25, 30, kRead, kRead), KERN_SUCCESS) << "another maximum";

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w0 [20,25)w0 [25,30)w0");
}

// Section 1.5: insert never extends a wired predecessor.
TEST_P(OtherOperations, NE14InsertDoesNotExtendAWiredEntry) {
  const vm_object_t object = objects_.New(10);
  ASSERT_EQ(map_->Insert(object, 0, 10, 15), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Insert(object, 5, 15, 20), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w0");
  ASSERT_EQ(map_->Wire(15, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w1");
}

TEST_P(OtherOperations, NE15InsertOverAnythingIsNoSpace) {
  const vm_object_t object = map_->Map(10, 20);
  map_->Guard(30, 31);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_NO_SPACE) << "the same again";
  EXPECT_EQ(map_->Insert(object, 0, 19, 21), KERN_NO_SPACE);
  EXPECT_EQ(map_->Insert(object, 0, 12, 13), KERN_NO_SPACE);
  EXPECT_EQ(map_->Insert(object, 0, 5, 40), KERN_NO_SPACE);
  EXPECT_EQ(map_->Insert(object, 0, 29, 31), KERN_NO_SPACE);
  EXPECT_EQ(map_->InsertGuard(19, 21), KERN_NO_SPACE);
  EXPECT_EQ(map_->InsertGuard(30, 31), KERN_NO_SPACE);
}

TEST_P(OtherOperations, NE16ARemovedRangeCanBeMappedAgain) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Remove(10, 20), KERN_SUCCESS);

  map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
}

// "A boundary at `at` that later merges leave alone until the next wire or unwire there."
TEST_P(OtherOperations, NE17AClipStaysUntilTheNextWiring) {
  map_->Map(10, 20);
  map_->Map(30, 40);

  ASSERT_EQ(map_->Clip(15), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w0 [30,40)w0");
  ASSERT_EQ(map_->Protect(10, 20, kRead), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(30, 40, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w0 [30,40)w1");

  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w1 [30,40)w1");
}

TEST_P(OtherOperations, NE18AClipOfAWiredEntryCountsOnBothSides) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  ASSERT_EQ(map_->Clip(15), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w2U [15,20)w2U");
  EXPECT_EQ(map_->UserPages(), 10u);
  EXPECT_EQ(Pages(object), "[0,10)1p") << "the counts of the pages do not change";
  EXPECT_EQ(map_->EntryAt(15).offset, 5 * kPage);
}

TEST_P(OtherOperations, NE19AClipWithNothingToCutDoesNothing) {
  map_->Map(10, 20);
  map_->Guard(30, 32);
  const std::string before = map_->State();

  EXPECT_EQ(map_->Clip(10), KERN_SUCCESS);
  EXPECT_EQ(map_->Clip(20), KERN_SUCCESS);
  EXPECT_EQ(map_->Clip(25), KERN_SUCCESS);
  EXPECT_EQ(map_->Clip(0), KERN_SUCCESS);

  EXPECT_EQ(map_->State(), before);
}

TEST_P(OtherOperations, NE20DiscardOfAWiredPageIsRefusedWhole) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Unwire(10, 15, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Discard(object, 0, 10), KERN_FAILURE);
  EXPECT_EQ(ResidentPages(object), 10u) << "nothing is done";

  ASSERT_EQ(map_->Unwire(15, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Discard(object, 0, 10), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(ResidentPages(object), 0u);
}

TEST_P(OtherOperations, NE21DiscardOfPartLeavesTheRest) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  ASSERT_EQ(map_->Discard(object, 3, 6), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(ResidentPages(object), 7u);
  EXPECT_EQ(vm_page_lookup(object, 3), nullptr);
  EXPECT_NE(vm_page_lookup(object, 6), nullptr);

  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ExpectFaults(object, 13);
}

TEST_P(OtherOperations, NE22EntryAtFindsTheEntryOrTheNextOne) {
  const vm_object_t object = objects_.New(20);
  ASSERT_EQ(map_->Insert(object, 3, 10, 20, kRead, kReadExecute), KERN_SUCCESS);
  vm_map_entry_info entry = {};

  for (const uint64_t page : {0u, 9u, 10u, 15u, 19u}) {
    ASSERT_EQ(vm_map_entry_at(map_->handle(), page * kPage, &entry), KERN_SUCCESS);
    EXPECT_EQ(entry.start, 10 * kPage);
    EXPECT_EQ(entry.end, 20 * kPage);
  }
  EXPECT_EQ(entry.object, object);
  EXPECT_EQ(entry.offset, 3 * kPage);
  EXPECT_EQ(entry.protection, kRead);
  EXPECT_EQ(entry.max_protection, kReadExecute);
  EXPECT_FALSE(entry.guard);
  EXPECT_EQ(vm_map_entry_at(map_->handle(), 20 * kPage, &entry), KERN_INVALID_ADDRESS);
  EXPECT_EQ(vm_map_entry_at(map_->handle(), UINT64_MAX, &entry), KERN_INVALID_ADDRESS);
}

TEST_P(OtherOperations, NE23AGuardHasNoMemory) {
  map_->Guard(10, 12);

  const vm_map_entry_info entry = map_->EntryAt(10);

  EXPECT_TRUE(entry.guard);
  EXPECT_EQ(entry.object, nullptr);
  EXPECT_EQ(entry.protection, kNone);
  EXPECT_FALSE(entry.user_wired);
}

VMWIRE_ON_EACH_BACKING(OtherOperations);

}  // namespace
}  // namespace vmwire::conformance
