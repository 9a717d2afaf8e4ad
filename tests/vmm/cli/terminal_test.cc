#include "vmm/cli/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace vmwire {
namespace {

// A terminal of its own: the far side of a new pseudo-terminal.
class TerminalTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    near_ = posix_openpt(O_RDWR | O_NOCTTY);
    if (near_ < 0 || grantpt(near_) != 0 || unlockpt(near_) != 0)
      GTEST_SKIP() << "no pseudo-terminals";
    far_ = open(ptsname(near_), O_RDWR | O_NOCTTY);
    ASSERT_GE(far_, 0);
  }

  void TearDown() override {
    if (far_ >= 0) close(far_);
    if (near_ >= 0) close(near_);
  }

  int near_ = -1;
  int far_ = -1;
};

TEST_F(TerminalTest, TerminalMayHaveColor) {
  EXPECT_TRUE(IsTerminal(far_));
  EXPECT_TRUE(MayUseColor(far_));
}

TEST_F(TerminalTest, NoColorIsRespected) {
  setenv("NO_COLOR", "1", 1);

  EXPECT_TRUE(IsTerminal(far_));
  EXPECT_FALSE(MayUseColor(far_));
}

TEST_F(TerminalTest, EmptyNoColorIsAsUnset) {
  setenv("NO_COLOR", "", 1);

  EXPECT_TRUE(MayUseColor(far_));
}

TEST_F(TerminalTest, DumbTerminalIsNone) {
  setenv("TERM", "dumb", 1);

  EXPECT_FALSE(IsTerminal(far_));
}

TEST_F(TerminalTest, WidthIsWhatTheTerminalSays) {
  winsize size = {};
  size.ws_col = 132;
  ASSERT_EQ(ioctl(far_, TIOCSWINSZ, &size), 0);

  EXPECT_EQ(TerminalWidth(far_), 132);
}

TEST_F(TerminalTest, TerminalThatDoesNotSayIs80Wide) { EXPECT_EQ(TerminalWidth(far_), 80); }

TEST(Terminal, FileIsNone) {
  const int file = open("/dev/null", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);

  EXPECT_FALSE(IsTerminal(file));
  EXPECT_FALSE(MayUseColor(file));
  EXPECT_EQ(TerminalWidth(file), 80);
  close(file);
}

TEST(Colored, WrapsTheTextOnlyWhereAsked) {
  EXPECT_EQ(Colored("FAIL", TextColor::kRed, true), "\x1b[31mFAIL\x1b[0m");
  EXPECT_EQ(Colored("FAIL", TextColor::kRed, false), "FAIL");
}

}  // namespace
}  // namespace vmwire
