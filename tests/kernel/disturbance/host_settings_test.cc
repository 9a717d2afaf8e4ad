// What a test has set is put back, whatever becomes of the test.
#include "tests/kernel/disturbance/host_settings.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/child.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string KsmSettings() {
  return ReadSetting("/sys/kernel/mm/ksm/run") + ReadSetting("/sys/kernel/mm/ksm/pages_to_scan") +
         ReadSetting("/sys/kernel/mm/ksm/sleep_millisecs");
}

// `enter`: a file that it writes its number to first; empty: none.
void DieInAChild(const std::string& enter) {
  RunInChild([&]() -> absl::Status {
    if (!enter.empty()) {
      EXPECT_THAT(WriteSetting(enter, std::to_string(getpid())), IsOk());
    }
    raise(SIGKILL);
    return absl::OkStatus();
  }).IgnoreError();
}

TEST(HostSettingsTest, KsmIsAsItWasWhenTheTestDies) {
  const std::string before = KsmSettings();
  {
    HostSettings changed;
    const absl::Status set = changed.RunKsm();
    if (!set.ok()) GTEST_SKIP() << set.message();
    EXPECT_EQ(ReadSetting("/sys/kernel/mm/ksm/run"), "1");

    EXPECT_NONFATAL_FAILURE(DieInAChild(""), "failed in its child");
  }
  EXPECT_EQ(KsmSettings(), before);
}

TEST(HostSettingsTest, SwapAndCgroupAreGoneWhenTheTestDiesInThem) {
  const std::string before = ReadAll("/proc/swaps");
  static std::string cgroup;  // The macro takes no local variables.
  {
    HostSettings changed;
    const absl::Status swap = changed.AddZramSwap(64 << 20);
    if (!swap.ok()) GTEST_SKIP() << swap.message();
    const auto made = changed.AddMemoryCgroup(64 << 20);
    if (!made.ok()) GTEST_SKIP() << made.status().message();
    cgroup = *made;
    EXPECT_NE(ReadAll("/proc/swaps"), before);

    EXPECT_NONFATAL_FAILURE(DieInAChild(cgroup), "failed in its child");
  }
  EXPECT_EQ(ReadAll("/proc/swaps"), before);
  EXPECT_NE(access(cgroup.c_str(), F_OK), 0);
}

TEST(HostSettingsTest, WhatCannotBeSetIsUnavailable) {
  HostSettings changed;

  EXPECT_THAT(changed.Set("/proc/sys/vm/no_such_setting", "1"),
              StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("no_such_setting")));
}

}  // namespace
}  // namespace vmwire
