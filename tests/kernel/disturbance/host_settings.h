// Settings of the host that one test needs: changed while this lives, put back when it goes.
//
// Whoever has one runs what may die in a child (RunInChild), so that this process is there to put
// everything back. Tests that change settings wait for each other, over all processes.
//
// Invariants: undone in the reverse order; what another has set for itself is not touched.
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_DISTURBANCE_HOST_SETTINGS_H_
#define VMWIRE_TESTS_KERNEL_DISTURBANCE_HOST_SETTINGS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/child.h"

namespace vmwire {

class HostSettings {
 public:
  HostSettings();
  HostSettings(const HostSettings&) = delete;
  HostSettings& operator=(const HostSettings&) = delete;
  // What cannot be put back fails the test.
  ~HostSettings();

  // Each of these: Unavailable, saying what is missing, if the host does not give it.

  // Writes `value` to a file under /proc or /sys, which reads as it was afterwards.
  absl::Status Set(const std::string& path, const std::string& value);
  // Has ksmd go through all mergeable memory without a pause.
  absl::Status RunKsm();
  // A swap device of its own, of `bytes` bytes, in compressed memory.
  absl::Status AddZramSwap(uint64_t bytes);
  // An empty memory cgroup with that limit. Returns the file that a process writes its number to,
  // to be in it. All of them must have ended when this goes.
  absl::StatusOr<std::string> AddMemoryCgroup(uint64_t limit);

  // Calls `undo` at the end, before what was changed earlier is put back.
  void AtEnd(std::function<void()> undo) { undo_.push_back(std::move(undo)); }

 private:
  const SignalsHeld held_;
  const int lock_;
  std::vector<std::function<void()>> undo_;
};

// A test's way to say that the host does not give something: Unavailable with that text, if
// `status` is ResourceExhausted, PermissionDenied, Unimplemented or Unavailable. Any other stays
// what it is, and fails the test.
absl::Status AsMissing(const absl::Status& status);

// Unavailable, with the kernel's reason, if it cannot be written.
absl::Status WriteSetting(const std::string& path, const std::string& value);
// Without the newline; empty if there is no such file.
std::string ReadSetting(const std::string& path);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_DISTURBANCE_HOST_SETTINGS_H_
