// User wirings, their limit, and how they mix with system wirings: section C of the conformance
// cases.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

constexpr WireFlags kSystem = WireFlags::kSystem;
constexpr WireFlags kUser = WireFlags::kUser;

class UserWiringTest : public testing::TestWithParam<PinLevel> {
 protected:
  void TearDown() override {
    EXPECT_THAT(map().CheckInvariants(), IsOk());
    const GuestRange all = Pages(0, 1000);
    while (map().wired_pages() != 0) {
      ASSERT_THAT(map().UnwireRange(all, kSystem | WireFlags::kHolesOk), IsOk());
      ASSERT_THAT(map().UnwireRange(all, kUser | WireFlags::kHolesOk), IsOk());
    }
    EXPECT_EQ(map().user_wired_pages(), 0u);
    EXPECT_EQ(test_.HostPinnedPages(), 0u);
  }

  VmMap& map() { return test_.map(); }
  absl::Status Wire(uint64_t first, uint64_t end, WireFlags flags = kUser) {
    return map().WireRange(Pages(first, end), flags);
  }
  absl::Status Unwire(uint64_t first, uint64_t end, WireFlags flags = kUser) {
    return map().UnwireRange(Pages(first, end), flags);
  }

  TestMap test_{{.level = GetParam(), .user_limit_pages = 10}};
};

INSTANTIATE_TEST_SUITE_P(Levels, UserWiringTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(UserWiringTest, C01UserWireSetsTheBitAndCharges) {
  test_.Add(10, 20);

  ASSERT_THAT(Wire(10, 20), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "uuuuuuuuuu");
  EXPECT_EQ(map().user_wired_pages(), 10u);
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
}

TEST_P(UserWiringTest, C02SecondUserWireChangesNothing) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  const std::string before = test_.State();

  ASSERT_THAT(Wire(10, 20), IsOk());

  EXPECT_EQ(test_.State(), before);
  ASSERT_THAT(Unwire(10, 20), IsOk());
  EXPECT_EQ(test_.Wires(10, 20), "0000000000");
}

TEST_P(UserWiringTest, C04UserUnwireOfWhatIsNotWiredSucceeds) {
  test_.Add(10, 20);
  const std::string before = test_.State();

  EXPECT_THAT(Unwire(10, 20), IsOk());

  EXPECT_EQ(test_.State(), before);
}

TEST_P(UserWiringTest, UserUnwireOfASystemWiringSucceedsAndLeavesIt) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20, kSystem), IsOk());

  EXPECT_THAT(Unwire(10, 20), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "1111111111");
}

TEST_P(UserWiringTest, C05UserUnwireTakesWhatThereIs) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 15), IsOk());

  ASSERT_THAT(Unwire(10, 20), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "0000000000");
  EXPECT_EQ(map().user_wired_pages(), 0u);
  EXPECT_EQ(map().entry_count(), 1u);
}

TEST_P(UserWiringTest, UserUnwireOverAHoleIsNotFoundAndChangesNothing) {
  test_.Add(10, 15);
  ASSERT_THAT(Wire(10, 15), IsOk());
  const std::string before = test_.State();

  EXPECT_THAT(Unwire(10, 20), StatusIs(StatusCode::kNotFound));

  EXPECT_EQ(test_.State(), before);
}

TEST_P(UserWiringTest, C08NeighbouringUserWiringsMerge) {
  test_.Add(10, 20);

  ASSERT_THAT(Wire(10, 15), IsOk());
  ASSERT_THAT(Wire(15, 20), IsOk());

  EXPECT_EQ(map().entry_count(), 1u);
  EXPECT_EQ(map().user_wired_pages(), 10u);
}

TEST_P(UserWiringTest, C10LimitIsExact) {
  test_.Add(10, 21);
  ASSERT_THAT(Wire(10, 20), IsOk());
  const std::string before = test_.State();

  EXPECT_THAT(Wire(20, 21), StatusIs(StatusCode::kResourceExhausted,
                                     AllOf(HasSubstr("needs 1 pages"), HasSubstr("10 are in use"),
                                           HasSubstr("limit is 10"))));

  EXPECT_EQ(test_.State(), before);
}

TEST_P(UserWiringTest, LimitThatTheSumExceedsRefusesBeforeTheFirstFault) {
  test_.Add(10, 18);
  test_.Add(18, 26);
  const std::string before = test_.State();

  EXPECT_THAT(Wire(10, 26), StatusIs(StatusCode::kResourceExhausted, HasSubstr("needs 16 pages")));

  EXPECT_EQ(test_.State(), before);
  // Refused by the sum, before the first fault.
  EXPECT_EQ(test_.host().resident_bytes(), 0u);
}

TEST_P(UserWiringTest, OverlapWithAUserWiringIsNotChargedAgain) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 16), IsOk());

  EXPECT_THAT(Wire(12, 20), IsOk());

  EXPECT_EQ(map().user_wired_pages(), 10u);
}

TEST_P(UserWiringTest, C12UserWireOverASystemWiringIsCharged) {
  test_.Add(10, 20);
  test_.Add(30, 40);
  ASSERT_THAT(Wire(10, 20, kSystem), IsOk());
  ASSERT_THAT(Wire(30, 40), IsOk());
  const std::string before = test_.State();

  EXPECT_THAT(Wire(10, 20), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(test_.State(), before);
}

TEST_P(UserWiringTest, C17SystemWiringHasNoUserLimit) {
  test_.Add(10, 40);

  EXPECT_THAT(Wire(10, 40, kSystem), IsOk());

  EXPECT_EQ(map().user_wired_pages(), 0u);
}

TEST_P(UserWiringTest, C20PartialUserUnwireSplitsTheEntryAndRefunds) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());

  ASSERT_THAT(Unwire(12, 14), IsOk());

  EXPECT_EQ(test_.Wires(10, 20), "uu00uuuuuu");
  EXPECT_EQ(map().entry_count(), 3u);
  EXPECT_EQ(map().user_wired_pages(), 8u);
  EXPECT_EQ(object->pages().WireCount(2), 0u);
}

TEST_P(UserWiringTest, C22RandomLocksAgreeWithASetOfPages) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  test_.Add(0, 20);
  std::vector<bool> locked(20);
  for (int step = 0; step < 1000; ++step) {
    const uint64_t first = random() % 20;
    const uint64_t end = first + 1 + random() % (20 - first);
    const bool lock = random() % 2 == 0;
    std::vector<bool> wanted = locked;
    for (uint64_t page = first; page < end; ++page) wanted[page] = lock;
    const auto pages = std::count(wanted.begin(), wanted.end(), true);
    if (pages > 10) {
      ASSERT_THAT(Wire(first, end), StatusIs(StatusCode::kResourceExhausted)) << step;
    } else {
      ASSERT_THAT(lock ? Wire(first, end) : Unwire(first, end), IsOk()) << step;
      locked = wanted;
    }
    for (uint64_t page = 0; page < 20; ++page) {
      ASSERT_EQ(map().Lookup(Page(page))->user_wired, locked[page]) << step << " page " << page;
    }
  }
}

TEST_P(UserWiringTest, UserAndSystemWiringsTogetherNeedBothToGo) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20, kSystem), IsOk());
  ASSERT_THAT(Wire(10, 20), IsOk());
  EXPECT_EQ(test_.Wires(10, 20), "vvvvvvvvvv");

  ASSERT_THAT(Unwire(10, 20, kSystem), IsOk());
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
  EXPECT_EQ(map().user_wired_pages(), 10u);
  ASSERT_THAT(Unwire(10, 20), IsOk());
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

// X1: FreeBSD's charge depends on which of the two kinds came first and went last.
TEST_P(UserWiringTest, X1AccountsEndAsTheyBeganInEveryOrder) {
  test_.Add(10, 20);
  const std::string before = test_.State();
  for (const bool user_first_in : {true, false}) {
    for (const bool user_first_out : {true, false}) {
      ASSERT_THAT(Wire(10, 20, user_first_in ? kUser : kSystem), IsOk());
      ASSERT_THAT(Wire(10, 20, user_first_in ? kSystem : kUser), IsOk());
      EXPECT_EQ(test_.Wires(10, 20), "vvvvvvvvvv");
      EXPECT_EQ(map().user_wired_pages(), 10u);
      ASSERT_THAT(Unwire(10, 20, user_first_out ? kUser : kSystem), IsOk());
      EXPECT_EQ(map().user_wired_pages(), user_first_out ? 0u : 10u);
      ASSERT_THAT(Unwire(10, 20, user_first_out ? kSystem : kUser), IsOk());
      EXPECT_EQ(test_.State(), before);
    }
  }
}

TEST(UserWiringLimitTest, C17LimitZeroStopsUserWiringsOnly) {
  TestMap test({.user_limit_pages = 0});
  test.Add(10, 20);

  EXPECT_THAT(test.map().WireRange(Pages(10, 11), kUser), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(test.map().Wire(Pages(10, 20)), IsOk());
}

TEST(UserWiringLimitTest, C23LargestLimitDoesNotWrap) {
  TestMap test({.user_limit_pages = UINT64_MAX});
  test.Add(10, 20);

  EXPECT_THAT(test.map().WireRange(Pages(10, 20), kUser), IsOk());
  EXPECT_EQ(test.map().user_wired_pages(), 10u);
}

}  // namespace
}  // namespace vmwire
