#include "vmm/cli/run_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmwire {
namespace {

using Kind = RunOutcome::Kind;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

TEST(DescribeEnd, AGuestThatEndedWellIsNotSpokenOf) {
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kExited, 0, ""}}), IsEmpty());
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kHalted, 0, ""}}), IsEmpty());
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kPoweredOff, 0, ""}}), IsEmpty());
}

TEST(DescribeEnd, ADeathIsItsReport) {
  EXPECT_EQ(DescribeEnd({.outcome = {Kind::kShutdown, 0, "lines\n"}}),
            "vmwire: the guest died: triple fault\nlines\n");
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kMemoryFault, 0, "lines\n"}}),
              StartsWith("vmwire: the host failed the guest: memory fault\n"));
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kRunFailed, 0, "lines\n"}}),
              StartsWith("vmwire: the monitor failed: "));
}

TEST(DescribeEnd, ATimeLimitHasTheStateOfTheCpus) {
  EXPECT_EQ(DescribeEnd({.outcome = {Kind::kInterrupted, 0, "CPU 0: stopped\n"},
                         .expectation = Expectation::kMissing,
                         .stop_reason = StopRequest::kTimeLimit,
                         .elapsed = milliseconds(1500)}),
            "vmwire: the time limit is over, after 1.50 s\nCPU 0: stopped\n"
            "vmwire: the expected text did not come\n");
}

TEST(DescribeEnd, ATextThatCameIsAllThatIsSaid) {
  EXPECT_EQ(DescribeEnd({.outcome = {Kind::kShutdown, 0, "lines\n"},
                         .expectation = Expectation::kSeen,
                         .elapsed = milliseconds(1200)}),
            "vmwire: expected text seen after 1.20 s\n");
}

TEST(DescribeEnd, OtherEndsAreNamed) {
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kReset, 0, ""}}), HasSubstr("reset its machine"));
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kExited, 101, ""}}), HasSubstr("given as 100"));
  EXPECT_THAT(
      DescribeEnd({.outcome = {Kind::kInterrupted, 0, ""}, .stop_reason = StopRequest::kEscapeKey}),
      HasSubstr("from the keyboard"));
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kInterrupted, 15, ""}, .stop_reason = 15}), IsEmpty());
}

TEST(DescribeEnd, OutputThatCannotBeWrittenIsNotTheKeyboard) {
  EXPECT_THAT(DescribeEnd({.outcome = {Kind::kInterrupted, 0, ""},
                           .stop_reason = StopRequest::kOutputFailed}),
              IsEmpty());
}

TEST(DescribeEnd, AGuestThatNothingCanWakeIsSpokenOf) {
  EXPECT_EQ(DescribeEnd({.outcome = {Kind::kHalted, 0, ""}, .stop_reason = StopRequest::kAsleep}),
            "vmwire: the guest halted with interrupts off: nothing can wake it\n");
}

TEST(AbsentTable, ListsPortsThenAddressesWithTheirFirstValue) {
  EXPECT_EQ(AbsentTable({{0x80, 1, true, 12, 0x5a}, {0x2f8, 1, false, 3, 0}},
                        {{0xfed00000, 4, false, 1, 0}}),
            "vmwire: the guest touched what is not there (reads gave all ones):\n"
            "  what  address             size  access      times  first value\n"
            "  port  0x80                   1  write          12  0x5a\n"
            "  port  0x2f8                  1  read            3\n"
            "  mmio  0xfed00000             4  read            1\n");
}

TEST(AbsentTable, NothingIsSaidToBeNothing) {
  EXPECT_THAT(AbsentTable({}, {}), HasSubstr("touched nothing"));
}

TEST(AbsentTable, SaysWhenItIsNotAll) {
  const std::vector<AbsentAccess> many(kMaxAbsentAccesses, {0x80, 1, false, 1, 0});
  EXPECT_THAT(AbsentTable(many, {}), HasSubstr("only the first 1024"));
  EXPECT_THAT(AbsentTable({{0x80, 1, false, 1, 0}}, {}), Not(HasSubstr("only the first")));
}

TEST(DescribeCompleted, CountsByMnemonic) {
  EXPECT_EQ(DescribeCompleted({{"clac", 1}, {"stac", 2}}),
            "vmwire: 3 instructions were done in KVM's stead: clac 1, stac 2\n");
  EXPECT_EQ(DescribeCompleted({{"int3", 1}}),
            "vmwire: 1 instruction was done in KVM's stead: int3 1\n");
  EXPECT_THAT(DescribeCompleted({}), IsEmpty());
}

}  // namespace
}  // namespace vmwire
