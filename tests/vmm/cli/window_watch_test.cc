#include "vmm/cli/window_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

// A pseudo-terminal.
class WindowWatchTest : public testing::Test {
 protected:
  void SetUp() override {
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

  void SetSize(uint16_t cols, uint16_t rows) {
    winsize size = {};
    size.ws_col = cols;
    size.ws_row = rows;
    ASSERT_EQ(ioctl(near_, TIOCSWINSZ, &size), 0);
  }
  auto Watch() {
    return WindowWatch::Create(
        far_, [this](uint16_t cols, uint16_t rows) { told_ = uint32_t{cols} * 1000 + rows; });
  }

  int near_ = -1;
  int far_ = -1;
  std::atomic<uint32_t> told_ = 0;
};

TEST_F(WindowWatchTest, SizeIsToldAtOnceAndWhenItChanges) {
  SetSize(80, 24);
  const auto watch = Watch();
  ASSERT_THAT(watch, IsOk());
  EXPECT_EQ(told_, 80024u);

  SetSize(132, 50);
  raise(SIGWINCH);

  EXPECT_EQ(
      Eventually([this] { return told_.load(); }, [](uint32_t told) { return told == 132050; }),
      132050u);
}

TEST_F(WindowWatchTest, NothingIsToldOnceItIsGone) {
  SetSize(80, 24);
  { const auto watch = Watch(); }

  SetSize(132, 50);
  raise(SIGWINCH);

  EXPECT_EQ(told_, 80024u);
}

TEST_F(WindowWatchTest, WhatIsNoTerminalIsNotWatched) {
  const auto watch = WindowWatch::Create(open("/dev/null", O_RDONLY | O_CLOEXEC),
                                         [](uint16_t, uint16_t) { FAIL(); });

  ASSERT_THAT(watch, IsOk());
  EXPECT_EQ(*watch, nullptr);
}

}  // namespace
}  // namespace vmwire
