// The vmwire command under test, and what its tests need around it.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_END_TO_END_COMMAND_H_
#define VMWIRE_TESTS_END_TO_END_COMMAND_H_

#include <gtest/gtest.h>

#include <cstdint>
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

// Why --pin-level pinned and guarded, which is the default, cannot work in this process; nullopt if
// io_uring can be used.
std::optional<std::string> NoUsableIoUring();
// In the child: makes io_uring_setup(2) fail, as the seccomp filter of a container does. False if
// that can't be had.
bool ForbidIoUring();

// Why a guest cannot have memory of `bytes`, or have it wired, here; nullopt if it can.
std::optional<std::string> CannotHave(uint64_t bytes);
std::optional<std::string> CannotWire(uint64_t bytes);

// In the child: RLIMIT_MEMLOCK of `bytes`, and no CAP_IPC_LOCK to get around it. False if that
// can't be had.
bool LimitLockedMemory(uint64_t bytes);

// A folder that goes with the test.
class ScratchFolder {
 public:
  // In `parent`; empty: where this host has temporary files.
  explicit ScratchFolder(const std::string& parent = {});
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

// Flat real-mode guests that never end. The first prints one empty line, then jumps to itself:
// mov dx, 0x3f8; mov al, 10; out dx, al; jmp $. The other prints empty lines: its jump is to the
// out.
inline const std::string kEndlessGuest = "\xba\xf8\x03\xb0\x0a\xee\xeb\xfe";
inline const std::string kEndlessPrinter = "\xba\xf8\x03\xb0\x0a\xee\xeb\xfd";

// Tests that launch guests skip themselves where no guest can run with the defaults.
class LaunchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::optional<std::string> reason = NoUsableKvm())
      GTEST_SKIP() << "no usable /dev/kvm: " << *reason;
    if (const std::optional<std::string> reason = NoUsableIoUring()) GTEST_SKIP() << *reason;
  }
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_END_TO_END_COMMAND_H_
