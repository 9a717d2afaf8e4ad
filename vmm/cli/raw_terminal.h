// A terminal in raw mode, so that every key goes to the guest, and back in its own mode on every
// way out.
//
// Raw means: no line editing, no echo, no signals by keys, no translation of carriage returns, no
// flow control. What is printed is still translated, so that messages are lines.
//
// Ways out: the destructor; a signal that ends the process at once, which is then raised again:
// those of a crash (SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS), and, unless
// somebody handles them, those of limits, timers and whoever sends them (SIGXCPU, SIGALRM,
// SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2, SIGIO, SIGPWR, SIGSTKFLT). SIGINT, SIGTERM, SIGHUP,
// SIGQUIT, SIGPIPE and SIGXFSZ are the caller's, who turns them into an orderly end; the real-time
// signals are left alone. SIGTSTP gives the terminal back before the process stops; SIGCONT takes
// it again. SIGKILL cannot be caught: `stty sane` cures the terminal then.
//
// Invariants: when the destructor has returned, the terminal's mode and the handlers are as before.
// A terminal whose foreground process group is another's is left alone.
// Thread safety: one lives at a time, made and destroyed by one thread.
#ifndef VMWIRE_VMM_CLI_RAW_TERMINAL_H_
#define VMWIRE_VMM_CLI_RAW_TERMINAL_H_

#include <signal.h>
#include <termios.h>

#include <array>
#include <memory>

#include "absl/status/statusor.h"

namespace vmwire {

class RawTerminal {
 public:
  // Null: `fd` is no terminal. Any error: its mode cannot be read or set.
  // REQUIRES: `fd` stays open while the object lives.
  static absl::StatusOr<std::unique_ptr<RawTerminal>> Enter(int fd);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

 private:
  struct Taken {
    int signal;
    struct sigaction before;
  };
  static constexpr size_t kSignals = 18;

  RawTerminal(int fd, const termios& before) : fd_(fd), before_(before) {}
  void TakeSignals();

  const int fd_;
  const termios before_;
  std::array<Taken, kSignals> taken_ = {};
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_RAW_TERMINAL_H_
