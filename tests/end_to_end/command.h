// The vmwire command under test, and what its tests need around it.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_END_TO_END_COMMAND_H_
#define VMWIRE_TESTS_END_TO_END_COMMAND_H_

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace vmwire {

// The program, and the image of a guest of this project.
std::string CommandPath();
std::string GuestPath(const std::string& name);

// Runs `vmwire arguments...` to its end.
ProcessResult Vmwire(const std::vector<std::string>& arguments,
                     const std::function<bool()>& in_child = {});

// Why no guest can run here; nullopt if /dev/kvm can be used.
std::optional<std::string> NoUsableKvm();

// In the child: RLIMIT_MEMLOCK of `bytes`, and no CAP_IPC_LOCK to get around it. False if that
// can't be had.
bool LimitLockedMemory(uint64_t bytes);

// A folder that goes with the test.
class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();
  // The path of a file in it; with `content`, the file is written.
  std::string File(const std::string& name,
                   const std::optional<std::string>& content = std::nullopt) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A flat real-mode guest that never ends: jmp to itself.
inline const std::string kEndlessGuest = "\xeb\xfe";

// Tests that launch guests skip themselves where no guest can run.
class LaunchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::optional<std::string> reason = NoUsableKvm())
      GTEST_SKIP() << "no usable /dev/kvm: " << *reason;
  }
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_END_TO_END_COMMAND_H_
