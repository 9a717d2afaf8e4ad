// An object among those who use it: pages that are found by themselves, pages that outlive it, and
// aliases.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "memory/page_array.h"
#include "memory/page_wiring.h"
#include "memory/vm_object.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

class VmObjectSharingTest : public testing::TestWithParam<PinLevel> {
 protected:
  VmMap& map() { return test_.map(); }
  VmPage& ResidentPage(uint64_t index) {
    EXPECT_THAT(test_.host().Advise(*object_->HostSlice(index * kPageSize, kPageSize),
                                    HostAdvice::kPopulateWrite),
                IsOk());
    return **object_->FindResident(index);
  }

  TestMap test_{{.level = GetParam()}};
  std::shared_ptr<VmObject> object_ = test_.NewObject(10);
};

INSTANTIATE_TEST_SUITE_P(Levels, VmObjectSharingTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(VmObjectSharingTest, PageThatIsNotInMemoryIsNotFound) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(VmPage* const page, object_->FindResident(3));

  EXPECT_EQ(page, nullptr);
  EXPECT_EQ(object_->pages().Find(3), nullptr);
}

TEST_P(VmObjectSharingTest, PageThatTheGuestTouchedByItselfIsFound) {
  VmPage& page = ResidentPage(3);

  EXPECT_EQ(PageIndexOf(page), 3u);
  EXPECT_EQ(&ObjectOf(page), object_.get());
  EXPECT_TRUE(page.HasObject());
  EXPECT_EQ(*object_->FindResident(3), &page);
  EXPECT_EQ(*object_->FindResident(4), nullptr);
}

TEST_P(VmObjectSharingTest, PageThatWasWiredIsFoundWithoutTheHost) {
  ASSERT_THAT(test_.MapPages(0, 10, object_), IsOk());
  ASSERT_THAT(map().WireRange(Pages(3, 4), WireFlags::kUser), IsOk());
  test_.journal().Clear();

  EXPECT_EQ((*object_->FindResident(3))->wire_count(), 1u);

  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
}

TEST_P(VmObjectSharingTest, PagePastTheEndIsOutOfRange) {
  EXPECT_THAT(object_->FindResident(10), StatusIs(StatusCode::kOutOfRange));
  EXPECT_THAT(object_->FindResident(uint64_t{1} << 50), StatusIs(StatusCode::kOutOfRange));
}

TEST_P(VmObjectSharingTest, PageWiredByItselfOutlivesTheObjectAndDiesWithItsLastUnwire) {
  VmPage& page = ResidentPage(3);
  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());
  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());

  object_.reset();
  EXPECT_EQ(test_.host().mappings(), 1u);
  EXPECT_EQ(page.wire_count(), 2u);
  EXPECT_EQ(test_.HostPinnedPages(), 1u);

  UnwirePage(page, PageQueue::kActive);
  EXPECT_EQ(test_.host().mappings(), 1u);
  EXPECT_EQ(page.wire_count(), 1u);
  UnwirePage(page, PageQueue::kActive);

  EXPECT_EQ(test_.host().mappings(), 0u);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
}

TEST_P(VmObjectSharingTest, OrphanDiesWithTheLastOfSeveralPages) {
  VmPage& first = ResidentPage(3);
  VmPage& second = ResidentPage(7);
  ASSERT_THAT(WirePage(first, test_.pins()), IsOk());
  ASSERT_THAT(WirePage(second, test_.pins()), IsOk());
  object_.reset();

  EXPECT_TRUE(UnwirePageNoQueue(first));
  EXPECT_EQ(test_.host().mappings(), 1u);
  EXPECT_EQ(test_.HostPinnedPages(), 1u);
  EXPECT_TRUE(UnwirePageNoQueue(second));

  EXPECT_EQ(test_.host().mappings(), 0u);
}

TEST_P(VmObjectSharingTest, OrphanCanBeWiredFurther) {
  VmPage& page = ResidentPage(3);
  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());
  object_.reset();

  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());

  UnwirePage(page, PageQueue::kActive);
  EXPECT_EQ(page.wire_count(), 1u);
  UnwirePage(page, PageQueue::kActive);
  EXPECT_EQ(test_.host().mappings(), 0u);
}

TEST_P(VmObjectSharingTest, RemovedEntryLeavesThePageThatIsWiredByItself) {
  ASSERT_THAT(test_.MapPages(0, 10, object_), IsOk());
  ASSERT_THAT(map().WireRange(Pages(0, 10), WireFlags::kUser), IsOk());
  VmPage& page = **object_->FindResident(3);
  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());
  object_.reset();

  ASSERT_THAT(map().Remove(Pages(0, 10)), IsOk());

  EXPECT_EQ(page.wire_count(), 1u);
  EXPECT_EQ(test_.HostPinnedPages(), 10u) << "the extent of that page";
  UnwirePage(page, PageQueue::kActive);
  EXPECT_EQ(test_.host().mappings(), 0u);
}

// A hold that is being given up may still be in its slot when the object is an orphan already.
TEST_P(VmObjectSharingTest, OrphanDiesThoughAHoldThatIsGivenUpNamesIt) {
  VmPage& page = ResidentPage(3);
  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());
  HoldSlot* const slot = HoldTable::Publish(nullptr, Pages(0, 10), object_.get(), 0);
  object_.reset();

  UnwirePage(page, PageQueue::kActive);

  EXPECT_EQ(test_.host().mappings(), 0u);
  HoldTable::Release(slot);
}

TEST_P(VmObjectSharingTest, ObjectThatIsMappedOnceIsWiredNowhereElse) {
  ASSERT_THAT(test_.MapPages(0, 5, object_, 0), IsOk());
  ASSERT_THAT(test_.MapPages(20, 25, object_, 5), IsOk());

  EXPECT_FALSE(object_->MayBeWiredElsewhere());
}

TEST_P(VmObjectSharingTest, PageThatIsMappedTwiceMayBeWiredElsewhereUntilItIsNot) {
  ASSERT_THAT(test_.MapPages(0, 5, object_, 0), IsOk());
  ASSERT_THAT(test_.MapPages(20, 25, object_, 4), IsOk());
  EXPECT_TRUE(object_->MayBeWiredElsewhere());

  ASSERT_THAT(map().Remove(Pages(21, 25)), IsOk());
  EXPECT_TRUE(object_->MayBeWiredElsewhere());
  ASSERT_THAT(map().Remove(Pages(20, 21)), IsOk());

  EXPECT_FALSE(object_->MayBeWiredElsewhere());
}

TEST_P(VmObjectSharingTest, TwoMapsOfOneObjectAreAliases) {
  {
    VmMap other(test_.pins(), {});
    ASSERT_THAT(other.Map(Pages(100, 110), object_, 0, Protection::kRead), IsOk());
    ASSERT_THAT(test_.MapPages(0, 1, object_, 9), IsOk());
    EXPECT_TRUE(object_->MayBeWiredElsewhere());
  }
  EXPECT_FALSE(object_->MayBeWiredElsewhere());
}

TEST_P(VmObjectSharingTest, PartsOfEntriesPastTheObjectsEndAreNoAliases) {
  ASSERT_THAT(test_.MapPages(0, 15, object_, 0), IsOk());
  ASSERT_THAT(test_.MapPages(20, 25, object_, 10), IsOk());

  EXPECT_FALSE(object_->MayBeWiredElsewhere());
  EXPECT_THAT(map().Remove(Pages(0, 25)), IsOk());
}

TEST_P(VmObjectSharingTest, PageWiredByItselfMayBeWiredElsewhereForGood) {
  VmPage& page = ResidentPage(3);
  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());
  UnwirePage(page, PageQueue::kActive);

  ASSERT_THAT(test_.MapPages(0, 5, object_, 0), IsOk());
  ASSERT_THAT(map().Remove(Pages(0, 5)), IsOk());

  EXPECT_TRUE(object_->MayBeWiredElsewhere());
}

TEST_P(VmObjectSharingTest, FailedInsertIsNoAlias) {
  ASSERT_THAT(test_.MapPages(0, 5, object_, 0), IsOk());
  map().SetWireFuture(true);
  map().SetUserWireLimit(1);

  ASSERT_THAT(test_.MapPages(20, 25, object_, 0), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_FALSE(object_->MayBeWiredElsewhere());
}

}  // namespace
}  // namespace vmwire
