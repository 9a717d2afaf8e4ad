// The rules of objects that several entries and maps share, and of objects that are shorter than
// their entries (ND): a page counts one wiring for each (entry, page), and is pinned once.
#include "tests/conformance/conformance_fixture.h"

namespace vmwire::conformance {
namespace {

class Aliases : public ConformanceTest {};

TEST_P(Aliases, ND20TwoEntriesOfOneObjectCountTwiceAndPinOnce) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Insert(object, 0, 30, 40), KERN_SUCCESS);

  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(30, 40, kS), KERN_SUCCESS);
  EXPECT_EQ(Pages(object), "[0,10)2p");
  ExpectFaults(object, 10);

  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  EXPECT_EQ(Pages(object), "[0,10)1p");
  ASSERT_EQ(map_->Unwire(30, 40, kS), KERN_SUCCESS);
  EXPECT_EQ(Pages(object), "");
}

TEST_P(Aliases, ND21TwoMapsOfOneObjectCountTwiceAndPinOnce) {
  const vm_object_t object = map_->Map(10, 20);
  std::unique_ptr<TestMap> other = NewMap(100, 200);
  ASSERT_EQ(other->Insert(object, 0, 110, 120), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(other->Wire(110, 120, kU), KERN_SUCCESS);
  EXPECT_EQ(Pages(object), "[0,10)2p");
  ExpectFaults(object, 10);

  EXPECT_EQ(other->Destroy(), KERN_SUCCESS) << other->error();

  EXPECT_EQ(Pages(object), "[0,10)1p");
}

// Frozen decisions (D13): the map layer charges per (entry, page).
TEST_P(Aliases, ND22EachEntryIsChargedToTheUserLimit) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Insert(object, 0, 30, 40), KERN_SUCCESS);
  map_->LimitUserPages(19);

  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->Wire(30, 40, kU), KERN_RESOURCE_SHORTAGE);
  ASSERT_EQ(map_->Wire(30, 39, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->UserPages(), 19u);
  EXPECT_EQ(Pages(object), "[0,9)2p [9,10)1p");
}

TEST_P(Aliases, ND23OneRangeOverBothEntriesCountsEach) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Insert(object, 0, 20, 30), KERN_SUCCESS);

  ASSERT_EQ(map_->Wire(10, 30, kS), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,20)w1 [20,30)w1") << "their offsets are not contiguous";
  EXPECT_EQ(Pages(object), "[0,10)2p");

  ASSERT_EQ(map_->Unwire(10, 30, kS), KERN_SUCCESS);
  EXPECT_EQ(Pages(object), "");
}

TEST_P(Aliases, ND24EntriesThatOverlapInTheObjectCountEachPage) {
  const vm_object_t object = objects_.New(20);
  ASSERT_EQ(map_->Insert(object, 0, 10, 22), KERN_SUCCESS);
  ASSERT_EQ(map_->Insert(object, 8, 50, 62), KERN_SUCCESS);

  ASSERT_EQ(map_->Wire(10, 22, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(50, 62, kU), KERN_SUCCESS);
  EXPECT_EQ(Pages(object), "[0,8)1p [8,12)2p [12,20)1p");

  ASSERT_EQ(map_->Unwire(10, 22, kS), KERN_SUCCESS);
  EXPECT_EQ(Counts(object), "[8,20)1");
}

TEST_P(Aliases, ND25AFailedWiringOfOneEntryLeavesTheOther) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Insert(object, 0, 30, 40), KERN_SUCCESS);
  map_->Guard(40, 41);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(30, 41, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(Pages(object), "[0,10)1p");
}

TEST_P(Aliases, ND26RemovingOneEntryLeavesTheOthersWiring) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Insert(object, 0, 30, 40), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(30, 40, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->Remove(10, 20), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(Pages(object), "[0,10)1p");
}

TEST_P(Aliases, ND27ThePartOfAnEntryInsideItsObjectCanBeWired) {
  const vm_object_t object = objects_.New(5);
  ASSERT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 15, kS), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Wire(15, 16, kS), KERN_OUT_OF_BOUNDS);

  EXPECT_EQ(map_->Entries(), "[10,15)w1 [15,20)w0");
  EXPECT_EQ(Pages(object), "[0,5)1p");
}

TEST_P(Aliases, ND28AnEntryWhollyPastItsObjectsEndIsOutOfBounds) {
  const vm_object_t object = objects_.New(5);
  ASSERT_EQ(map_->Insert(object, 5, 10, 20), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Wire(10, 11, kS), KERN_OUT_OF_BOUNDS);
  EXPECT_EQ(map_->Wire(10, 11, kSH), KERN_OUT_OF_BOUNDS) << "it is no hole";
  EXPECT_EQ(map_->Protect(10, 20, kRead), KERN_SUCCESS);
  EXPECT_EQ(map_->Remove(10, 20), KERN_SUCCESS);
}

TEST_P(Aliases, ND29NoObjectMakesAnAnonymousOneOfTheEntrysLength) {
  ASSERT_EQ(map_->Insert(nullptr, 0, 10, 20), KERN_SUCCESS) << map_->error();

  const vm_object_t object = map_->EntryAt(10).object;
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(map_->Discard(object, 0, 10), KERN_SUCCESS);
  EXPECT_EQ(map_->Discard(object, 0, 11), KERN_OUT_OF_BOUNDS);
}

TEST_P(Aliases, ND30TheMapKeepsItsObjectAlive) {
  const vm_object_t object = map_->Map(10, 20);
  objects_.Drop(object);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(Pages(object), "[0,10)1p");
  EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Remove(10, 15), KERN_SUCCESS);
  EXPECT_EQ(map_->EntryAt(15).object, object);

  EXPECT_EQ(map_->Remove(15, 20), KERN_SUCCESS);
  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_INVALID_ARGUMENT) << "the last one is gone";
}

TEST_P(Aliases, ND31AReferenceKeepsTheObjectAliveToo) {
  const vm_object_t object = objects_.New(10);
  vm_object_reference(object);

  vm_object_deallocate(object);

  EXPECT_EQ(map_->Insert(object, 0, 10, 20), KERN_SUCCESS) << map_->error();
}

TEST_P(Aliases, ND32ClippingAndMergingKeepTheReference) {
  const vm_object_t object = map_->Map(10, 20);
  objects_.Drop(object);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(map_->Wire(13, 16, kS), KERN_SUCCESS);
    ASSERT_EQ(map_->Unwire(13, 16, kS), KERN_SUCCESS);
  }

  EXPECT_EQ(map_->Entries(), "[10,20)w0");
  EXPECT_EQ(map_->EntryAt(10).object, object);
  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(Pages(object), "[0,10)1p");
}

TEST_P(Aliases, ND33PagesThatAreNotResidentOrDoNotExistAreNotFound) {
  const vm_object_t object = map_->Map(10, 20);

  EXPECT_EQ(vm_page_lookup(object, 0), nullptr);
  EXPECT_EQ(vm_page_lookup(object, 10), nullptr);
  EXPECT_EQ(vm_page_lookup(object, UINT64_MAX), nullptr);
}

VMWIRE_ON_EACH_BACKING(Aliases);

}  // namespace
}  // namespace vmwire::conformance
