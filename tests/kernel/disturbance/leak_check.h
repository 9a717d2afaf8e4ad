// What this process has locked and pinned is the same when this goes as when it came, whatever
// became of the test in between.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_DISTURBANCE_LEAK_CHECK_H_
#define VMWIRE_TESTS_KERNEL_DISTURBANCE_LEAK_CHECK_H_

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_format.h"
#include "memory/host_memory_linux.h"
#include "tests/support/eventually.h"

namespace vmwire {

// "VmLck 0, VmPin 4096", in bytes.
inline std::string LockedAndPinned() {
  const ProcessPins pins = HostMemoryLinux().Pins().value_or(ProcessPins{});
  return absl::StrFormat("VmLck %d, VmPin %d", pins.locked_bytes, pins.pinned_bytes);
}

class LeakCheck {
 public:
  LeakCheck() : before_(LockedAndPinned()) {}
  LeakCheck(const LeakCheck&) = delete;
  LeakCheck& operator=(const LeakCheck&) = delete;
  // Linux 6.1 unpins up to a second after a buffer was cleared.
  ~LeakCheck() {
    EXPECT_EQ(
        Eventually(LockedAndPinned, [this](const std::string& now) { return now == before_; }),
        before_)
        << "something stays locked or pinned";
  }

  const std::string& before() const { return before_; }

 private:
  const std::string before_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_DISTURBANCE_LEAK_CHECK_H_
