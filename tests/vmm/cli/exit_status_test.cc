#include "vmm/cli/exit_status.h"

#include <gtest/gtest.h>

#include "vmm/stop_request.h"

namespace vmwire {
namespace {

using Kind = RunOutcome::Kind;

int StatusOfKind(Kind kind, uint32_t code = 0) { return ExitStatusOf(RunOutcome{kind, code, ""}); }

TEST(ExitStatusTest, AGuestThatEndedWellIsZero) {
  EXPECT_EQ(StatusOfKind(Kind::kExited, 0), 0);
  EXPECT_EQ(StatusOfKind(Kind::kHalted), 0);
  EXPECT_EQ(StatusOfKind(Kind::kPoweredOff), 0);
  EXPECT_EQ(StatusOfKind(Kind::kReset), 6);
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

TEST(ExitStatusTest, ATextThatCameIsZeroWhateverElseHappened) {
  for (const Kind kind : {Kind::kExited, Kind::kShutdown, Kind::kInterrupted}) {
    EXPECT_EQ(ExitStatusOf(RunOutcome{kind, 3, ""}, Expectation::kSeen, StopRequest::kExpected), 0);
  }
}

TEST(ExitStatusTest, ATextThatDidNotComeIs5UnlessSomethingWorseHappened) {
  const auto status = [](Kind kind, uint32_t code) {
    return ExitStatusOf(RunOutcome{kind, code, ""}, Expectation::kMissing,
                        StopRequest::kGuestEnded);
  };
  EXPECT_EQ(status(Kind::kHalted, 0), 5);
  EXPECT_EQ(status(Kind::kExited, 7), 5);
  EXPECT_EQ(status(Kind::kShutdown, 0), 4);
  EXPECT_EQ(status(Kind::kMemoryFault, 0), 3);
  EXPECT_EQ(status(Kind::kRunFailed, 0), 1);
}

TEST(ExitStatusTest, ATimeLimitIs124) {
  const RunOutcome stopped{Kind::kInterrupted, 0, ""};
  EXPECT_EQ(ExitStatusOf(stopped, Expectation::kNone, StopRequest::kTimeLimit), 124);
  EXPECT_EQ(ExitStatusOf(stopped, Expectation::kMissing, StopRequest::kTimeLimit), 124);
  EXPECT_EQ(
      ExitStatusOf(RunOutcome{Kind::kExited, 0, ""}, Expectation::kNone, StopRequest::kTimeLimit),
      0)
      << "the guest ended just before";
}

TEST(ExitStatusTest, ARunEndedFromTheKeyboardEndedWell) {
  const RunOutcome stopped{Kind::kInterrupted, 0, ""};
  EXPECT_EQ(ExitStatusOf(stopped, Expectation::kNone, StopRequest::kEscapeKey), 0);
  EXPECT_EQ(ExitStatusOf(stopped, Expectation::kMissing, StopRequest::kEscapeKey), 5);
}

TEST(ExitStatusTest, OutputThatCannotBeWrittenIs1) {
  const RunOutcome stopped{Kind::kInterrupted, 0, ""};
  EXPECT_EQ(ExitStatusOf(stopped, Expectation::kNone, StopRequest::kOutputFailed), 1);
  EXPECT_EQ(ExitStatusOf(stopped, Expectation::kMissing, StopRequest::kOutputFailed), 1);
}

TEST(ExitStatusTest, OurOwnFailureIs1) { EXPECT_EQ(ExitStatusOf(absl::InternalError("")), 1); }

}  // namespace
}  // namespace vmwire
