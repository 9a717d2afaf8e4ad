#include "vmm/cli/exit_status.h"

#include <gtest/gtest.h>

namespace vmwire {
namespace {

using Kind = RunOutcome::Kind;

int StatusOfKind(Kind kind, uint32_t code = 0) { return ExitStatusOf(RunOutcome{kind, code, ""}); }

TEST(ExitStatusTest, AGuestThatEndedWellIsZero) {
  EXPECT_EQ(StatusOfKind(Kind::kExited, 0), 0);
  EXPECT_EQ(StatusOfKind(Kind::kHalted), 0);
}

TEST(ExitStatusTest, TheGuestsCodeIsAbove16) {
  EXPECT_EQ(StatusOfKind(Kind::kExited, 1), 17);
  EXPECT_EQ(StatusOfKind(Kind::kExited, 100), 116);
}

TEST(ExitStatusTest, ACodeThatIsTooLargeCountsAsTheLargest) {
  EXPECT_EQ(StatusOfKind(Kind::kExited, 101), 116);
  EXPECT_EQ(StatusOfKind(Kind::kExited, UINT32_MAX), 116);
}

TEST(ExitStatusTest, EveryDeathOfTheGuestIs4) {
  for (const Kind kind : {Kind::kGuestException, Kind::kShutdown, Kind::kInternalError,
                          Kind::kEntryFailed, Kind::kUnhandledExit}) {
    EXPECT_EQ(StatusOfKind(kind), 4) << ToString(kind);
  }
}

TEST(ExitStatusTest, MemoryThatTheHostCouldNotGiveIsTheHosts) {
  EXPECT_EQ(StatusOfKind(Kind::kMemoryFault), 3);
}

TEST(ExitStatusTest, BadInputIs2) {
  EXPECT_EQ(ExitStatusOf(absl::InvalidArgumentError("")), 2);
  EXPECT_EQ(ExitStatusOf(absl::OutOfRangeError("")), 2);
  EXPECT_EQ(ExitStatusOf(absl::ResourceExhaustedError("")), 2);
}

TEST(ExitStatusTest, WhatTheHostLacksOrRefusesIs3) {
  EXPECT_EQ(ExitStatusOf(absl::UnimplementedError("")), 3);
  EXPECT_EQ(ExitStatusOf(absl::PermissionDeniedError("")), 3);
}

TEST(ExitStatusTest, OurOwnFailureIs1) { EXPECT_EQ(ExitStatusOf(absl::InternalError("")), 1); }

}  // namespace
}  // namespace vmwire
