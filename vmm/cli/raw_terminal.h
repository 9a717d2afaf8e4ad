// A terminal in raw mode, so that every key goes to the guest, and back in its own mode on every
// way out.
//
// Raw means: no line editing, no echo, no signals by keys, no translation of carriage returns, no
// flow control. What is printed is still translated, so that messages are lines.
//
// Ways out: the destructor; a signal that kills with a dump (SIGABRT, SIGSEGV, SIGBUS, SIGILL,
// SIGFPE, SIGTRAP, SIGSYS), which is then raised again. The others that end a process, the caller
// turns into an orderly end. SIGTSTP gives the terminal back before the process stops; SIGCONT
// takes it again. SIGKILL cannot be caught: `stty sane` cures the terminal then.
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
  static constexpr size_t kSignals = 9;

  RawTerminal(int fd, const termios& before) : fd_(fd), before_(before) {}
  void TakeSignals();

  const int fd_;
  const termios before_;
  std::array<Taken, kSignals> taken_ = {};
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_RAW_TERMINAL_H_
