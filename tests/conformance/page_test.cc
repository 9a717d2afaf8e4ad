// Cases G: the page layer, and its rules (NG). R is a page that is resident and not wired, Wn one
// with n wirings, On the same without an object.
#include <thread>

#include "tests/conformance/conformance_fixture.h"
#include "tests/support/wire_test_hooks.h"

namespace vmwire::conformance {
namespace {

constexpr uint32_t kMaxPageWires = (1u << 30) - 1;

class PageLayer : public ConformanceTest {
 protected:
  void SetUp() override {
    ConformanceTest::SetUp();
    if (!IsSkipped()) {
      object_ = map_->Map(10, 20);
    }
  }
  // A page in state R, on PQ_ACTIVE.
  vm_page_t ResidentPage() {
    EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
    EXPECT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS) << map_->error();
    return PageOf(object_, 0);
  }
  // A page in state On that has only the test's wirings.
  vm_page_t OrphanPage(int wirings) {
    const vm_page_t page = ResidentPage();
    for (int i = 0; i < wirings; ++i) {
      vm_page_wire(page);
    }
    EXPECT_EQ(map_->Remove(10, 20), KERN_SUCCESS) << map_->error();
    objects_.Drop(object_);
    return page;
  }
  vm_object_t object_ = nullptr;
};
class PageContract : public PageLayer {};

TEST_P(PageLayer, G01WiringAResidentPageTakesItOffItsQueue) {
  const vm_page_t page = ResidentPage();
  ASSERT_EQ(vm_page_queue(page), PQ_ACTIVE);
  ASSERT_EQ(vm_page_wire_count(page), 0u);

  vm_page_wire(page);

  EXPECT_EQ(vm_page_wire_count(page), 1u);
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageLayer, G02WiringsNest) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);

  vm_page_wire(page);

  EXPECT_EQ(vm_page_wire_count(page), 2u);
  vm_page_unwire(page, PQ_ACTIVE);
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageLayer, G03UnwiringOneOfTwoPutsThePageOnNoQueue) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);
  vm_page_wire(page);

  vm_page_unwire(page, PQ_INACTIVE);

  EXPECT_EQ(vm_page_wire_count(page), 1u);
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageLayer, G04TheLastUnwiringPutsThePageOnItsQueue) {
  const vm_page_t page = ResidentPage();
  for (const int queue : {PQ_INACTIVE, PQ_ACTIVE, PQ_LAUNDRY, PQ_UNSWAPPABLE}) {
    vm_page_wire(page);

    vm_page_unwire(page, queue);

    EXPECT_EQ(vm_page_wire_count(page), 0u);
    EXPECT_EQ(vm_page_queue(page), queue);
  }
}

TEST_P(PageLayer, G07AnOrphanIsFreedByItsLastUnwiring) {
  const vm_page_t page = OrphanPage(1);
  ASSERT_EQ(vm_page_wire_count(page), 1u);
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);

  vm_page_unwire(page, PQ_ACTIVE);  // The sanitizers and the leak checks see that it is freed.
}

TEST_P(PageLayer, G09UnwireNoqTellsTheLastOne) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);
  vm_page_wire(page);

  EXPECT_FALSE(vm_page_unwire_noq(page));
  EXPECT_EQ(vm_page_wire_count(page), 1u);
  EXPECT_TRUE(vm_page_unwire_noq(page));

  EXPECT_EQ(vm_page_wire_count(page), 0u);
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);
}

TEST_P(PageLayer, G11WireMappedOfABlockedPageIsRefused) {
  const vm_page_t page = ResidentPage();
  vmwire_test_set_page_blocked(page, true);

  EXPECT_FALSE(vm_page_wire_mapped(page));

  EXPECT_EQ(vm_page_wire_count(page), 0u);
  vmwire_test_set_page_blocked(page, false);
  EXPECT_TRUE(vm_page_wire_mapped(page));
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageLayer, G19WireMappedAtTheMaximumIsRefused) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);
  vmwire_test_set_page_wires(page, kMaxPageWires);

  EXPECT_FALSE(vm_page_wire_mapped(page));

  EXPECT_EQ(vm_page_wire_count(page), kMaxPageWires);
  vm_page_unwire(page, PQ_ACTIVE);
  EXPECT_EQ(vm_page_wire_count(page), kMaxPageWires - 1);
  vmwire_test_set_page_wires(page, 1);
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageLayer, G25AWiringOfAPageAtItsMaximumIsAShortage) {
  ASSERT_EQ(map_->Insert(object_, 0, 30, 40), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  const vm_page_t page = PageOf(object_, 5);
  vmwire_test_set_page_wires(page, kMaxPageWires);

  EXPECT_EQ(map_->Wire(30, 40, kS), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(vm_page_wire_count(PageOf(object_, 4)), 1u);
  EXPECT_EQ(vm_page_wire_count(page), kMaxPageWires);
  vmwire_test_set_page_wires(page, 1);
}

TEST_P(PageLayer, NG01TheLastUnwiringOfAMapPutsPagesOnTheActiveQueue) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);
  vm_page_unwire(page, PQ_INACTIVE);
  ASSERT_EQ(vm_page_queue(page), PQ_INACTIVE);

  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);
  ASSERT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(vm_page_queue(page), PQ_ACTIVE);
}

TEST_P(PageLayer, NG02AWiringOfOnesOwnAddsToTheMaps) {
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  const vm_page_t page = PageOf(object_, 3);

  vm_page_wire(page);
  EXPECT_EQ(Counts(object_), "[0,3)1 [3,4)2 [4,10)1");
  ASSERT_EQ(map_->Unwire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(Counts(object_), "[3,4)1");
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);
  vm_page_unwire(page, PQ_LAUNDRY);
  EXPECT_EQ(vm_page_queue(page), PQ_LAUNDRY);
}

TEST_P(PageLayer, NG03AMapWiresAPageThatIsWiredAlready) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);

  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(Counts(object_), "[0,1)2 [1,10)1");
  EXPECT_TRUE(vm_page_is_pinned(page));
  vm_page_unwire(page, PQ_ACTIVE);

  EXPECT_EQ(Pages(object_), "[0,10)1p") << "the map's wiring is left";
}

TEST_P(PageLayer, NG04WireMappedCountsAsWireDoes) {
  const vm_page_t page = ResidentPage();

  EXPECT_TRUE(vm_page_wire_mapped(page));
  EXPECT_EQ(vm_page_wire_count(page), 1u);
  EXPECT_EQ(vm_page_queue(page), PQ_NONE);
  EXPECT_TRUE(vm_page_wire_mapped(page));
  EXPECT_EQ(vm_page_wire_count(page), 2u);

  vm_page_unwire(page, PQ_ACTIVE);
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageLayer, NG05APageThatIsWiredIsNotDiscarded) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);

  EXPECT_EQ(map_->Discard(object_, 0, 10), KERN_FAILURE);
  EXPECT_EQ(ResidentPages(object_), 10u);

  vm_page_unwire(page, PQ_ACTIVE);
  EXPECT_EQ(map_->Discard(object_, 0, 10), KERN_SUCCESS) << map_->error();
}

// "A vm_page_wire of one's own is no hold."
TEST_P(PageLayer, NG06AWiringOfOnesOwnDoesNotKeepTheMap) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);

  EXPECT_EQ(map_->Remove(10, 15), KERN_SUCCESS) << map_->error();
  EXPECT_EQ(map_->Destroy(), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(vm_page_wire_count(page), 1u);
  vm_page_unwire(page, PQ_INACTIVE);
  EXPECT_EQ(vm_page_queue(page), PQ_INACTIVE) << "its object is still there";
}

TEST_P(PageLayer, NG07AnOrphanCountsOn) {
  const vm_page_t page = OrphanPage(2);

  vm_page_wire(page);
  EXPECT_EQ(vm_page_wire_count(page), 3u);
  vm_page_unwire(page, PQ_ACTIVE);
  EXPECT_FALSE(vm_page_unwire_noq(page));
  EXPECT_EQ(vm_page_wire_count(page), 1u);

  EXPECT_TRUE(vm_page_unwire_noq(page));
}

TEST_P(PageLayer, NG08PagesAreFoundByTheirIndexInTheObject) {
  ASSERT_EQ(map_->Wire(13, 16, kS), KERN_SUCCESS);

  EXPECT_EQ(vm_page_lookup(object_, 2), nullptr);
  EXPECT_NE(vm_page_lookup(object_, 3), nullptr);
  EXPECT_EQ(vm_page_lookup(object_, 3), vm_page_lookup(object_, 3));
  EXPECT_NE(vm_page_lookup(object_, 3), vm_page_lookup(object_, 4));
  EXPECT_EQ(vm_page_lookup(object_, 6), nullptr);
}

TEST_P(PageLayer, NG09ARollbackOfAPageThatIsWiredElsewhereLeavesItsCount) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);

  EXPECT_EQ(map_->Wire(10, 21, kS), KERN_INVALID_ADDRESS);

  EXPECT_EQ(Counts(object_), "[0,1)1");
  vm_page_unwire(page, PQ_ACTIVE);
}

VMWIRE_ON_EACH_BACKING(PageLayer);

TEST_P(PageContract, G10UnwiringAPageThatIsNotWiredEndsTheProcess) {
  const vm_page_t page = ResidentPage();

  EXPECT_EXIT(vm_page_unwire(page, PQ_ACTIVE), testing::KilledBySignal(SIGABRT), "wired");
  EXPECT_EXIT(vm_page_unwire_noq(page), testing::KilledBySignal(SIGABRT), "wired");
}

TEST_P(PageContract, G16UnwiringAPageToNoQueueEndsTheProcess) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);

  EXPECT_EXIT(vm_page_unwire(page, PQ_NONE), testing::KilledBySignal(SIGABRT), "queue|PQ_NONE");
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageContract, G19WiringAPageAtTheMaximumEndsTheProcess) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);
  vmwire_test_set_page_wires(page, kMaxPageWires);

  EXPECT_EXIT(vm_page_wire(page), testing::KilledBySignal(SIGABRT), "[a-z]+ .*[a-z]+");

  vmwire_test_set_page_wires(page, 1);
  vm_page_unwire(page, PQ_ACTIVE);
}

// Section 2.4: a real paging queue. No value but the four is one.
TEST_P(PageContract, NG10UnwiringAPageToAQueueThatThereIsNotEndsTheProcess) {
  const vm_page_t page = ResidentPage();
  vm_page_wire(page);

  EXPECT_EXIT(vm_page_unwire(page, 4), testing::KilledBySignal(SIGABRT), "queue|PQ_");
  EXPECT_EXIT(vm_page_unwire(page, -1), testing::KilledBySignal(SIGABRT), "queue|PQ_");
  vm_page_unwire(page, PQ_ACTIVE);
}

TEST_P(PageContract, G20WiringRacesWithTheLastUnwiring) {
  constexpr int kRounds = 1'000'000;
  const vm_page_t page = ResidentPage();
  const auto wire_and_unwire = [page](bool mapped) {
    for (int i = 0; i < kRounds; ++i) {
      if (!mapped) {
        vm_page_wire(page);
      } else if (!vm_page_wire_mapped(page)) {
        ADD_FAILURE() << "nobody has blocked the page";
        return;
      }
      if (vm_page_wire_count(page) == 0) {
        ADD_FAILURE() << "a page that this thread has wired counts none";
        return;
      }
      vm_page_unwire(page, PQ_ACTIVE);
    }
  };
  std::thread other(wire_and_unwire, true);

  wire_and_unwire(false);
  other.join();

  EXPECT_EQ(vm_page_wire_count(page), 0u);
  EXPECT_EQ(vm_page_queue(page), PQ_ACTIVE);
}

VMWIRE_ON_SIMULATED_MEMORY(PageContract);

}  // namespace
}  // namespace vmwire::conformance
