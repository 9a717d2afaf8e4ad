#include "memory/wire_budget.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<WireBudget::Reservation>);
static_assert(!std::is_copy_assignable_v<WireBudget::Reservation>);
static_assert(std::is_nothrow_move_constructible_v<WireBudget::Reservation>);

TEST(WireBudgetTest, WithoutALimitEverythingFits) {
  const WireBudget budget({});
  EXPECT_THAT(budget.CheckFits(UINT64_MAX), IsOk());
}

TEST(WireBudgetTest, ReservationIsUsedUntilItDies) {
  WireBudget budget({{"limit", 100, "raise"}});
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const WireBudget::Reservation held, budget.Reserve(60));
    EXPECT_EQ(held.bytes(), 60u);
    EXPECT_EQ(budget.used(), 60u);
  }
  EXPECT_EQ(budget.used(), 0u);
}

TEST(WireBudgetTest, ExactFitIsAllowedAndOneByteMoreIsNot) {
  WireBudget budget({{"limit", 100, "raise"}});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WireBudget::Reservation held, budget.Reserve(60));

  EXPECT_THAT(budget.CheckFits(40), IsOk());
  EXPECT_THAT(budget.CheckFits(41), StatusIs(StatusCode::kResourceExhausted));
}

TEST(WireBudgetTest, RefusalNamesNeededUsedLimitAndRemedy) {
  WireBudget budget({{"RLIMIT_TEST", 100, "raise it so"}});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WireBudget::Reservation held, budget.Reserve(60));

  EXPECT_THAT(budget.Reserve(41),
              StatusIs(StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("needs 41 bytes"), HasSubstr("60 are in use"),
                             HasSubstr("RLIMIT_TEST allows 100"), HasSubstr("raise it so"))));
  EXPECT_EQ(budget.used(), 60u);
}

TEST(WireBudgetTest, LowestLimitInTheWayIsNamed) {
  const WireBudget budget({{"high", 300, "-"}, {"low", 100, "-"}, {"middle", 200, "-"}});

  EXPECT_THAT(budget.CheckFits(250),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("low allows 100")));
}

TEST(WireBudgetTest, C23SumBeyond64BitsIsRefusedAndDoesNotWrap) {
  WireBudget budget({{"limit", UINT64_MAX, "raise"}});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WireBudget::Reservation held, budget.Reserve(10));
  WireBudget unlimited({});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WireBudget::Reservation other, unlimited.Reserve(10));

  EXPECT_THAT(budget.Reserve(UINT64_MAX - 5), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(unlimited.Reserve(UINT64_MAX - 5), StatusIs(StatusCode::kResourceExhausted));
}

TEST(WireBudgetTest, MoveConstructionMovesTheReservation) {
  WireBudget budget({});
  VMWIRE_ASSERT_OK_AND_ASSIGN(WireBudget::Reservation from, budget.Reserve(10));
  {
    const WireBudget::Reservation to = std::move(from);
    EXPECT_EQ(to.bytes(), 10u);
    EXPECT_EQ(from.bytes(), 0u);
    EXPECT_EQ(budget.used(), 10u);
  }
  EXPECT_EQ(budget.used(), 0u);
}

TEST(WireBudgetTest, MoveAssignmentGivesTheOldReservationBack) {
  WireBudget budget({});
  VMWIRE_ASSERT_OK_AND_ASSIGN(WireBudget::Reservation to, budget.Reserve(10));
  VMWIRE_ASSERT_OK_AND_ASSIGN(WireBudget::Reservation from, budget.Reserve(7));
  to = std::move(from);

  EXPECT_EQ(budget.used(), 7u);
  EXPECT_EQ(to.bytes(), 7u);
}

TEST(WireBudgetTest, SelfMoveKeepsTheReservation) {
  WireBudget budget({});
  VMWIRE_ASSERT_OK_AND_ASSIGN(WireBudget::Reservation held, budget.Reserve(10));
  WireBudget::Reservation& same = held;
  held = std::move(same);

  EXPECT_EQ(budget.used(), 10u);
  EXPECT_EQ(held.bytes(), 10u);
}

TEST(WireBudgetTest, DeathWithAReservationLeftIsOurBug) {
  EXPECT_DEATH(
      {
        std::optional<WireBudget> budget(std::in_place, std::vector<WireBudget::Limit>{});
        auto held = budget->Reserve(10);
        budget.reset();
      },
      "10 bytes are still reserved");
}

}  // namespace
}  // namespace vmwire
