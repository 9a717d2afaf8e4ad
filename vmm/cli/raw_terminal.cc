#include "vmm/cli/raw_terminal.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "memory/errno_status.h"

namespace vmwire {
namespace {

// First those of a crash, which are taken from whoever else handles them.
constexpr size_t kCrashSignals = 7;
constexpr std::array<int, 18> kTakenSignals = {
    SIGABRT, SIGSEGV, SIGBUS,  SIGILL,  SIGFPE,    SIGTRAP, SIGSYS, SIGTSTP, SIGCONT,
    SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGIO,  SIGPWR,  SIGSTKFLT};

// What signal handlers need; written while no handler of ours is installed.
int terminal_fd = -1;
termios own_mode;
termios raw_mode;
std::atomic<bool> is_raw = false;

termios RawOf(termios mode) {
  mode.c_iflag &=
      ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  mode.c_oflag |= OPOST;
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
  mode.c_cflag &= ~static_cast<tcflag_t>(CSIZE | PARENB);
  mode.c_cflag |= CS8;
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  return mode;
}

// A process in the background that sets the mode would be stopped (SIGTTOU), and would take the
// terminal from whoever has it. What is not our controlling terminal has no foreground.
bool IsOurs(int fd) {
  const pid_t foreground = tcgetpgrp(fd);
  return foreground < 0 || foreground == getpgrp();
}

bool SetMode(int fd, const termios& mode) {
  if (!IsOurs(fd)) return true;
  int result = 0;
  do {
    result = tcsetattr(fd, TCSANOW, &mode);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

// All below is called in signal handlers: tcsetattr, tcgetpgrp, sigaction, raise and
// pthread_sigmask may be (POSIX.1-2017, 2.4.3; pthread_sigmask since 2024).
void Apply(const termios& mode) {
  if (is_raw.load()) SetMode(terminal_fd, mode);
}

// Does what `signal` does by default, here and now.
void RaiseByDefault(int signal) {
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  sigaction(signal, &by_default, nullptr);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  raise(signal);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
}

extern "C" void TerminalSignal(int signal) {
  const int saved_errno = errno;
  if (signal != SIGCONT) {
    Apply(own_mode);
    RaiseByDefault(signal);
    // Only a stop comes back here, once it is over, or if nobody is there to end it (an orphaned
    // process group is not stopped).
    struct sigaction again = {};
    again.sa_handler = TerminalSignal;
    again.sa_flags = SA_RESTART;
    sigaction(signal, &again, nullptr);
  }
  Apply(raw_mode);
  errno = saved_errno;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RawTerminal>> RawTerminal::Enter(int fd) {
  termios before;
  if (isatty(fd) != 1) return nullptr;
  if (tcgetattr(fd, &before) != 0) return ErrnoStatus(errno, "reading the terminal's mode");
  std::unique_ptr<RawTerminal> terminal(new RawTerminal(fd, before));
  terminal->TakeSignals();
  is_raw = true;
  if (!SetMode(fd, raw_mode)) return ErrnoStatus(errno, "setting the terminal's mode");
  return terminal;
}

void RawTerminal::TakeSignals() {
  static_assert(kTakenSignals.size() == kSignals);
  terminal_fd = fd_;
  own_mode = before_;
  raw_mode = RawOf(before_);
  struct sigaction action = {};
  action.sa_handler = TerminalSignal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals; ++i) {
    taken_[i].signal = kTakenSignals[i];
    sigaction(kTakenSignals[i], nullptr, &taken_[i].before);
    // Who is ignored stays so: a shell without job control has SIGTSTP ignored. And a profiler
    // keeps its timer.
    const auto before = taken_[i].before.sa_handler;
    if (before == SIG_IGN || (i >= kCrashSignals && before != SIG_DFL)) continue;
    sigaction(kTakenSignals[i], &action, nullptr);
  }
}

RawTerminal::~RawTerminal() {
  is_raw = false;
  SetMode(fd_, before_);
  for (const Taken& taken : taken_) sigaction(taken.signal, &taken.before, nullptr);
}

}  // namespace vmwire
