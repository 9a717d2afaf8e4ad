// What tests of guests with devices ask of a run, and give it.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_END_TO_END_DEVICE_RUN_H_
#define VMWIRE_TESTS_END_TO_END_DEVICE_RUN_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/end_to_end/command.h"
#include "tests/support/process.h"

namespace vmwire {

// Skipped where no guest can have a few MiB of wired memory.
class DeviceTest : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    if (IsSkipped()) return;
    if (const auto reason = CannotWire(64 << 20)) GTEST_SKIP() << *reason;
  }
};

// What `--json` printed, between the lines of the log. A failure of the test, and null, if it did
// not.
nlohmann::json SummaryOf(const ProcessResult& result);
// A counter of one device. A failure of the test, and 0, if there is none.
uint64_t Counter(const nlohmann::json& summary, const std::string& device, const std::string& name);
bool HasDevice(const nlohmann::json& summary, const std::string& device);

// Why this kernel's io_uring cannot share registered buffers (Linux 6.12); nullopt if it can.
std::optional<std::string> NoSharedBuffers();

// For the child: its stdin is the file at `path`.
std::function<bool()> InputFrom(const std::string& path);

// In the child: a mount namespace of its own, in which `folder` is an empty tmpfs of `bytes`. False
// if that can't be had.
bool MountSmallTmpfs(const std::string& folder, uint64_t bytes);
// The same, in which `folder` is as it was, but read-only.
bool MountReadOnly(const std::string& folder);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_END_TO_END_DEVICE_RUN_H_
