#include "devices/device_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace vmwire {
namespace {

using testing::ElementsAre;

TEST(DeviceLog, SaysOneLineASecondAndDeviceAndCountsTheRest) {
  std::chrono::steady_clock::time_point now{std::chrono::seconds(100)};
  std::vector<std::string> lines;
  DeviceLog log([&](const std::string& line) { lines.push_back(line); }, [&] { return now; });

  for (int i = 0; i < 1000; ++i) log.Report("disk", absl::InvalidArgumentError("bad"));
  log.Report("rng", absl::InvalidArgumentError("worse"));
  now += std::chrono::seconds(1);
  log.Report("disk", absl::InvalidArgumentError("bad again"));

  EXPECT_THAT(lines, ElementsAre("disk: bad", "rng: worse",
                                 "disk: bad again (and 999 more since the last line)"));
  EXPECT_EQ(log.errors("disk"), 1001u);
  EXPECT_EQ(log.errors("nobody"), 0u);
}

}  // namespace
}  // namespace vmwire
