#include "memory/pin_promises.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmwire {
namespace {

using testing::IsEmpty;
using testing::Not;

char Letter(Outcome outcome) {
  switch (outcome) {
    case Outcome::kKept:
      return 'K';
    case Outcome::kRefused:
      return 'R';
    case Outcome::kExcluded:
      return 'X';
    case Outcome::kNone:
      break;
  }
  return '-';
}

// The cells of a disturbance as in the comment of pinner.h: a backing a column, the levels in turn.
std::string RowOf(Disturbance disturbance) {
  std::string row;
  for (const PinBacking backing : kPinBackings) {
    if (!row.empty()) row += "  ";
    for (const PinLevel level : kPinLevels) {
      if (level != kPinLevels.front()) row += " / ";
      row += Letter(PromiseOf(level, backing, disturbance).outcome);
    }
  }
  return row;
}

TEST(PinPromisesTest, TableIsThatOfThePinner) {
  EXPECT_EQ(RowOf(Disturbance::kPageout), "R / K / R  R / K / R  R / R / R  R / K / R");
  EXPECT_EQ(RowOf(Disturbance::kDontNeed), "R / - / R  R / K / R  K / K / K  R / K / R");
  EXPECT_EQ(RowOf(Disturbance::kFree), "R / K / R  R / R / R  R / R / R  R / R / R");
  EXPECT_EQ(RowOf(Disturbance::kPunchHole), "R / R / R  X / X / X  X / X / X  X / X / X");
  EXPECT_EQ(RowOf(Disturbance::kPressure), "K / K / K  K / K / K  K / K / K  K / K / K");
  EXPECT_EQ(RowOf(Disturbance::kCompaction), "- / K / K  - / K / K  K / K / K  K / K / K");
  EXPECT_EQ(RowOf(Disturbance::kCollapse), "- / R / R  - / R / R  R / R / R  R / R / R");
  EXPECT_EQ(RowOf(Disturbance::kMerge), "- / K / K  K / K / K  K / K / K  K / K / K");
  EXPECT_EQ(RowOf(Disturbance::kFork), "X / X / X  K / K / K  K / K / K  K / K / K");
  EXPECT_EQ(RowOf(Disturbance::kUnmap), "X / X / X  X / X / X  X / X / X  X / X / X");
}

TEST(PinPromisesTest, GuardedPromisesSomethingOfEveryDisturbance) {
  for (const PinBacking backing : kPinBackings) {
    for (const Disturbance disturbance : kDisturbances) {
      EXPECT_NE(PromiseOf(PinLevel::kGuarded, backing, disturbance).outcome, Outcome::kNone)
          << ToString(backing) << " " << ToString(disturbance);
    }
  }
}

TEST(PinPromisesTest, EveryCellHasAReason) {
  for (const PinLevel level : kPinLevels) {
    for (const PinBacking backing : kPinBackings) {
      for (const Disturbance disturbance : kDisturbances) {
        EXPECT_THAT(std::string(PromiseOf(level, backing, disturbance).reason), Not(IsEmpty()))
            << ToString(level) << " " << ToString(backing) << " " << ToString(disturbance);
      }
    }
  }
}

TEST(PinPromisesTest, EverythingHasAName) {
  EXPECT_EQ(ToString(PinBacking::kGuestMemfd), "guest-memfd");
  EXPECT_EQ(ToString(Disturbance::kUnmap), "munmap");
  EXPECT_EQ(ToString(Outcome::kNone), "none");
}

}  // namespace
}  // namespace vmwire
