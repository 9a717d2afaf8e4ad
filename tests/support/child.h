// A part of a test in a child process: what it does to the process, or dies of, stays there.
//
// Thread safety: from the test's main thread only, which must be alone.
#ifndef VMWIRE_TESTS_SUPPORT_CHILD_H_
#define VMWIRE_TESTS_SUPPORT_CHILD_H_

#include <signal.h>

#include <functional>

#include "absl/status/status.h"

namespace vmwire {

// Runs `body` in a child, which does not outlive this process, and waits for its end. A failed
// expectation of the body, or its death, fails the test here. Returns what the body returned, which
// is OK if it died: for its caller to skip or to fail. Unavailable also: no process could be made.
absl::Status RunInChild(const std::function<absl::Status()>& body);

// While it lives, SIGINT, SIGTERM and SIGHUP wait: whoever has changed a setting of the host puts
// it back first. A child of RunInChild is killed by them at once.
class SignalsHeld {
 public:
  SignalsHeld();
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
  ~SignalsHeld();

 private:
  sigset_t before_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_CHILD_H_
