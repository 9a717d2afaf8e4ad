#include "tests/support/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>

#include "memory/errno_status.h"

namespace vmwire {
namespace {

sigset_t EndingSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

// Both fit into a pipe, so that nobody waits for the other: the code, then the message.
void WriteStatus(int file, const absl::Status& status) {
  const std::string text =
      static_cast<char>(status.code()) + std::string(status.message()).substr(0, 4000);
  EXPECT_EQ(write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

absl::Status ReadStatus(int file) {
  std::array<char, 4096> text;
  const ssize_t bytes = read(file, text.data(), text.size());
  // One that died has said nothing, and has failed the test already.
  if (bytes <= 0) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(text[0]),
                      std::string(text.data() + 1, static_cast<size_t>(bytes) - 1));
}

[[noreturn]] void BeChild(pid_t parent, int result, const std::function<absl::Status()>& body) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  const sigset_t signals = EndingSignals();
  sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  WriteStatus(result, body());
  fflush(nullptr);
  _exit(testing::Test::HasFailure() ? 1 : 0);
}

}  // namespace

absl::Status RunInChild(const std::function<absl::Status()>& body) {
  std::array<int, 2> result;
  if (pipe2(result.data(), O_CLOEXEC) != 0) {
    return absl::UnavailableError(ErrnoStatus(errno, "making a pipe").message());
  }
  fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) BeChild(parent, result[1], body);
  close(result[1]);
  int ended = 0;
  while (child > 0 && waitpid(child, &ended, 0) < 0 && errno == EINTR) {
  }
  EXPECT_TRUE(child < 0 || (WIFEXITED(ended) && WEXITSTATUS(ended) == 0))
      << "the test failed in its child, which ended with wait status " << ended;
  const absl::Status status =
      child < 0 ? absl::UnavailableError("fork failed") : ReadStatus(result[0]);
  close(result[0]);
  return status;
}

SignalsHeld::SignalsHeld() {
  const sigset_t signals = EndingSignals();
  sigprocmask(SIG_BLOCK, &signals, &before_);
}

SignalsHeld::~SignalsHeld() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace vmwire
