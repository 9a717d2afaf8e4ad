// A pseudo-terminal for a test: the near end is the person's, the far end the program's.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_SUPPORT_PSEUDO_TERMINAL_H_
#define VMWIRE_TESTS_SUPPORT_PSEUDO_TERMINAL_H_

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <string>

namespace vmwire {

class PseudoTerminal {
 public:
  PseudoTerminal() {
    near_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (near_ < 0 || grantpt(near_) != 0 || unlockpt(near_) != 0) return;
    const char* const name = ptsname(near_);
    if (name != nullptr) far_ = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;
  ~PseudoTerminal() {
    if (far_ >= 0) close(far_);
    if (near_ >= 0) close(near_);
  }

  // False: this host has none to give.
  bool is_open() const { return far_ >= 0; }
  int far_end() const { return far_; }

  bool Type(const std::string& keys) const {
    return write(near_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size());
  }
  termios Mode() const {
    termios mode = {};
    tcgetattr(far_, &mode);
    return mode;
  }
  // No line editing, no echo, no signals by keys.
  bool IsRaw() const { return (Mode().c_lflag & (ICANON | ECHO | ISIG)) == 0; }
  // As a terminal begins.
  bool IsCooked() const {
    return (Mode().c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG);
  }

 private:
  int near_ = -1;
  int far_ = -1;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_PSEUDO_TERMINAL_H_
