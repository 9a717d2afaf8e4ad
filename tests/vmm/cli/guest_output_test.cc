#include "vmm/cli/guest_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

// While it lives, stdout is a pipe.
class GuestOutputTest : public testing::Test {
 protected:
  void SetUp() override {
    std::fflush(stdout);
    saved_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    ASSERT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0);
    ASSERT_EQ(dup2(ends_[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends_[1]);
  }
  void TearDown() override {
    GiveStdoutBack();
    CloseReader();
  }
  void GiveStdoutBack() {
    if (saved_ < 0) return;
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
    saved_ = -1;
  }
  void CloseReader() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }
  void Print(const std::string& text) {
    output_.Write(GuestStream::kSerial, std::as_bytes(std::span(text)));
  }
  // What has been printed; no more can be.
  std::string Printed() {
    GiveStdoutBack();
    std::string all;
    std::array<char, 256> chunk;
    ssize_t got = 0;
    while ((got = read(ends_[0], chunk.data(), chunk.size())) > 0) {
      all.append(chunk.data(), static_cast<size_t>(got));
    }
    return all;
  }

  int saved_ = -1;
  std::array<int, 2> ends_ = {-1, -1};
  StopRequest stop_;
  ExpectWatch watch_{ParseExpression("PASS").value(), [] {}};
  GuestOutput output_{stop_, &watch_};
};

TEST_F(GuestOutputTest, WhatIsPrintedGoesToStdoutAndIsLookedAt) {
  Print("one\n");
  Print("PASS\n");
  EXPECT_EQ(Printed(), "one\nPASS\n");
  EXPECT_TRUE(watch_.seen());
  EXPECT_THAT(output_.Result(), IsOk());
}

class EndFromOutsideTest : public GuestOutputTest, public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(All, EndFromOutsideTest,
                         testing::Values(SIGTERM, StopRequest::kEscapeKey,
                                         StopRequest::kOutputFailed));

TEST_P(EndFromOutsideTest, WhatComesThenIsNotLookedAt) {
  stop_.Stop(GetParam());
  Print("PASS\n");
  EXPECT_EQ(Printed(), "PASS\n") << "what goes at once does";
  EXPECT_FALSE(watch_.seen());
}

class EndOfGuestTest : public GuestOutputTest, public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(All, EndOfGuestTest,
                         testing::Values(StopRequest::kGuestEnded, StopRequest::kAsleep,
                                         StopRequest::kTimeLimit));

TEST_P(EndOfGuestTest, WhatWasHeldBackUntilThenIsLookedAt) {
  stop_.Stop(GetParam());
  Print("PASS");
  EXPECT_EQ(Printed(), "PASS");
  EXPECT_TRUE(watch_.seen());
}

TEST_F(GuestOutputTest, OutputThatCannotBeWrittenEndsTheRunForThat) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  dup2(full, STDOUT_FILENO);
  close(full);
  Print("text\n");
  GiveStdoutBack();
  ASSERT_TRUE(stop_.requested());
  EXPECT_EQ(stop_.reason(), StopRequest::kOutputFailed);
  EXPECT_THAT(output_.Result(), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(GuestOutputTest, AReaderThatWentAwayEndsTheRunAsItEndsAnyFilter) {
  const auto before = signal(SIGPIPE, SIG_IGN);
  CloseReader();
  Print("text\n");
  signal(SIGPIPE, before);
  ASSERT_TRUE(stop_.requested());
  EXPECT_EQ(stop_.reason(), SIGPIPE);
  EXPECT_THAT(output_.Result(), IsOk());
}

}  // namespace
}  // namespace vmwire
