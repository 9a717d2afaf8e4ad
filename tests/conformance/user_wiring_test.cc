// Cases C: user wiring and its limit.
#include <algorithm>
#include <array>
#include <random>

#include "tests/conformance/conformance_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/wire_test_hooks.h"

namespace vmwire::conformance {
namespace {

class UserWiring : public ConformanceTest {};

TEST_P(UserWiring, C01AUserWiringIsCharged) {
  const vm_object_t object = map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS) << map_->error();

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
  EXPECT_EQ(map_->UserPages(), 10u);
  EXPECT_EQ(Pages(object), "[0,10)1p");
}

TEST_P(UserWiring, C02ASecondUserWiringChangesNothing) {
  map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  const std::string before = map_->State();

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->State(), before);
}

TEST_P(UserWiring, C04UnwiringWhatIsNotUserWiredIsSilent) {
  map_->Map(10, 20);
  const std::string before = map_->State();

  EXPECT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->State(), before);
}

TEST_P(UserWiring, C05UnwiringPassesOverWhatIsNotUserWired) {
  const vm_object_t object = map_->Map(10, 15);
  map_->Map(15, 20);
  ASSERT_EQ(map_->Wire(10, 15, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,15)w0 [15,20)w0");
  EXPECT_EQ(map_->UserPages(), 0u);
  EXPECT_EQ(Pages(object), "");
}

TEST_P(UserWiring, C08WiringBothHalvesMakesOneEntryAgain) {
  map_->Map(10, 20);

  EXPECT_EQ(map_->Wire(10, 15, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->Entries(), "[10,15)w1U [15,20)w0");
  EXPECT_EQ(map_->Wire(15, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,20)w1U");
  EXPECT_EQ(map_->UserPages(), 10u);
}

TEST_P(UserWiring, C10TheLimitIsExact) {
  map_->Map(10, 21);
  map_->LimitUserPages(10);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->Wire(20, 21, kU), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->UserPages(), 10u);
}

// FreeBSD does not charge it; frozen decisions: it is charged, and can fail.
TEST_P(UserWiring, C12AUserWiringOnASystemWiringIsCharged) {
  map_->Map(10, 20);
  map_->Map(30, 40);
  map_->LimitUserPages(10);
  ASSERT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);
  ASSERT_EQ(map_->Wire(30, 40, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Wire(10, 20, kU), KERN_RESOURCE_SHORTAGE);

  EXPECT_EQ(map_->Entries(), "[10,20)w1 [30,40)w1U");
  EXPECT_EQ(map_->UserPages(), 10u);
}

TEST_P(UserWiring, C15ALoweredLimitStopsWiringButNotUnwiring) {
  map_->Map(10, 20);
  map_->Map(30, 32);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);
  map_->LimitUserPages(5);

  EXPECT_EQ(map_->Wire(30, 31, kU), KERN_RESOURCE_SHORTAGE);
  EXPECT_EQ(map_->Unwire(10, 15, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->Wire(30, 31, kU), KERN_RESOURCE_SHORTAGE) << "still at the limit";
  EXPECT_EQ(map_->Unwire(15, 16, kU), KERN_SUCCESS);
  EXPECT_EQ(map_->Wire(30, 31, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->UserPages(), 5u);
}

TEST_P(UserWiring, C17ASystemWiringIsNotLimited) {
  map_->Map(10, 20);
  map_->LimitUserPages(0);

  EXPECT_EQ(map_->Wire(10, 20, kS), KERN_SUCCESS);

  EXPECT_EQ(map_->UserPages(), 0u);
}

TEST_P(UserWiring, C20UnwiringTheMiddleRefundsIt) {
  const vm_object_t object = map_->Map(10, 20);
  ASSERT_EQ(map_->Wire(10, 20, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Unwire(12, 14, kU), KERN_SUCCESS);

  EXPECT_EQ(map_->Entries(), "[10,12)w1U [12,14)w0 [14,20)w1U");
  EXPECT_EQ(map_->UserPages(), 8u);
  EXPECT_EQ(Counts(object), "[0,2)1 [4,10)1");
}

TEST_P(UserWiring, C22RandomWiringAndUnwiringAgreesWithAModelOfPages) {
  constexpr uint64_t kPages = 40;
  constexpr int kLimit = 20;
  const vm_object_t object = map_->Map(0, kPages);
  map_->LimitUserPages(kLimit);
  std::mt19937_64 random(TestSeed());
  std::array<bool, kPages> wired = {};

  for (int step = 0; step < 1000; ++step) {
    const uint64_t start = random() % kPages;
    const uint64_t end = start + 1 + random() % (kPages - start);
    if (random() % 2 == 0) {
      ASSERT_EQ(map_->Unwire(start, end, kU), KERN_SUCCESS) << "step " << step;
      std::fill(wired.begin() + static_cast<int64_t>(start),
                wired.begin() + static_cast<int64_t>(end), false);
    } else {
      std::array<bool, kPages> next = wired;
      std::fill(next.begin() + static_cast<int64_t>(start),
                next.begin() + static_cast<int64_t>(end), true);
      const bool fits = std::count(next.begin(), next.end(), true) <= kLimit;
      ASSERT_EQ(map_->Wire(start, end, kU), fits ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE)
          << "step " << step;
      wired = fits ? next : wired;
    }
    ASSERT_EQ(map_->UserPages(),
              static_cast<uint64_t>(std::count(wired.begin(), wired.end(), true)));
    for (uint64_t page = 0; page < kPages; ++page) {
      const vm_page_t found = vm_page_lookup(object, page);
      ASSERT_EQ(found == nullptr ? 0u : vm_page_wire_count(found), wired[page] ? 1u : 0u)
          << "step " << step << ", page " << page;
    }
  }
}

TEST_P(UserWiring, C23TheSumOfUserPagesDoesNotWrap) {
  map_->Map(10, 20);
  vmwire_test_add_user_wired_pages(map_->handle(), UINT64_MAX - 5);

  for (const uint64_t limit : {UINT64_MAX - 1, UINT64_MAX}) {
    map_->LimitUserPages(limit);
    EXPECT_EQ(vm_map_wire(map_->handle(), 10 * kPage, 20 * kPage, kU), KERN_RESOURCE_SHORTAGE);
  }

  EXPECT_EQ(map_->UserPages(), UINT64_MAX - 5);
  EXPECT_EQ(map_->Entries(), "[10,20)w0");
  vmwire_test_add_user_wired_pages(map_->handle(), 6);
  EXPECT_EQ(map_->UserPages(), 0u);
}

VMWIRE_ON_EACH_BACKING(UserWiring);

}  // namespace
}  // namespace vmwire::conformance
