#include "vmm/cli/raw_terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "tests/support/eventually.h"
#include "tests/support/pseudo_terminal.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

class RawTerminalTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!terminal_.is_open()) GTEST_SKIP() << "no pseudo-terminals";
  }
  // Of a child that takes the terminal and then does `act`.
  template <typename Act>
  pid_t ChildThat(Act act) {
    const pid_t child = fork();
    if (child == 0) {
      // A process group of its own has its parent outside: it is not orphaned, whatever that of the
      // test is, and can be stopped.
      setpgid(0, 0);
      const auto raw = RawTerminal::Enter(terminal_.far_end());
      if (!raw.ok() || *raw == nullptr) _exit(1);
      act();
      _exit(2);
    }
    return child;
  }
  // A child that takes the terminal and sends itself the signal must die of that.
  void ExpectGivenBackAfter(int number) {
    const pid_t child = ChildThat([number] {
      const rlimit no_core = {0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
      raise(number);
    });
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << number;
    EXPECT_EQ(WTERMSIG(status), number);
    EXPECT_TRUE(terminal_.IsCooked()) << number;
  }

  PseudoTerminal terminal_;
};

TEST_F(RawTerminalTest, ModeIsRawWhileItLivesAndThenAsBefore) {
  const termios before = terminal_.Mode();
  {
    const auto raw = RawTerminal::Enter(terminal_.far_end());
    ASSERT_THAT(raw, IsOk());
    ASSERT_NE(*raw, nullptr);
    EXPECT_TRUE(terminal_.IsRaw());
    EXPECT_NE(terminal_.Mode().c_oflag & OPOST, 0u) << "messages are still lines";
    EXPECT_EQ(terminal_.Mode().c_iflag & (ICRNL | IXON), 0u);
  }
  const termios after = terminal_.Mode();
  EXPECT_EQ(std::memcmp(&before, &after, sizeof(before)), 0);
}

TEST_F(RawTerminalTest, WhatIsNoTerminalIsLeftAlone) {
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const auto raw = RawTerminal::Enter(null);
  close(null);
  ASSERT_THAT(raw, IsOk());
  EXPECT_EQ(*raw, nullptr);
}

TEST_F(RawTerminalTest, ACrashGivesTheTerminalBackAndIsStillACrash) {
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) ExpectGivenBackAfter(number);
}

TEST_F(RawTerminalTest, ASignalOfLimitsAndTimersGivesTheTerminalBackToo) {
  for (const int number :
       {SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT}) {
    ExpectGivenBackAfter(number);
  }
}

TEST_F(RawTerminalTest, WhoHandlesATimersSignalKeepsIt) {
  struct sigaction before = {};
  struct sigaction own = {};
  own.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGPROF, &own, &before), 0);
  {
    const auto raw = RawTerminal::Enter(terminal_.far_end());
    ASSERT_THAT(raw, IsOk());
    raise(SIGPROF);
    EXPECT_TRUE(terminal_.IsRaw());
  }
  sigaction(SIGPROF, &before, nullptr);
}

TEST_F(RawTerminalTest, AStopGivesTheTerminalBackUntilItIsOver) {
  const pid_t child = ChildThat([] {
    while (true) pause();
  });
  const auto is_raw = [this] { return terminal_.IsRaw(); };
  const auto yes = [](bool is) { return is; };
  ASSERT_TRUE(Eventually(is_raw, yes));

  kill(child, SIGTSTP);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_TRUE(terminal_.IsCooked());

  kill(child, SIGCONT);
  EXPECT_TRUE(Eventually(is_raw, yes));
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
}

TEST_F(RawTerminalTest, AfterAnUncatchableStopItIsRawAgain) {
  const pid_t child = ChildThat([] {
    while (true) pause();
  });
  const auto is_raw = [this] { return terminal_.IsRaw(); };
  const auto yes = [](bool is) { return is; };
  ASSERT_TRUE(Eventually(is_raw, yes));
  kill(child, SIGSTOP);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  // As a shell does that has its terminal back.
  termios mode = terminal_.Mode();
  mode.c_lflag |= ICANON | ECHO | ISIG;
  ASSERT_EQ(tcsetattr(terminal_.far_end(), TCSANOW, &mode), 0);

  kill(child, SIGCONT);

  EXPECT_TRUE(Eventually(is_raw, yes));
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
}

}  // namespace
}  // namespace vmwire
