// Runs that end in the middle of I/O: by kill -9, by SIGINT and SIGTERM. What the guest was told is
// on the disk is there, nothing is torn, and the disk can be used again at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/end_to_end/command.h"
#include "tests/end_to_end/device_run.h"
#include "tests/end_to_end/disk_image.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr uint64_t kImageBytes = 64 << 20;
constexpr int kRounds = 4;
// A stop on a machine that has other things to do.
constexpr std::chrono::seconds kPromptly(5);

class CrashTest : public DeviceTest {
 protected:
  Process StartBlk(const std::string& flags = "", const std::vector<std::string>& options = {}) {
    std::vector<std::string> command = {CommandPath(), "run", GuestPath("blk"), "--disk",
                                        "path=" + image_ + flags};
    command.insert(command.end(), options.begin(), options.end());
    return Process(command);
  }

  // What a run that only looks finds in the image, which no other has open any more.
  void ExpectFinds(const std::vector<uint64_t>& generations) {
    const ProcessResult result =
        Vmwire({"run", GuestPath("blk"), "--disk", "path=" + image_ + ",readonly"});
    EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
    const std::optional<Found> found = WhatItFound(result.out);
    ASSERT_TRUE(found.has_value()) << result.out;
    const auto written =
        generations.size() - static_cast<size_t>(std::ranges::count(generations, kNeverWritten));
    EXPECT_EQ(found->sectors, written);
  }

  ScratchFolder scratch_;
  const std::string image_ = MakeImage(scratch_, "disk.img", kImageBytes);
};

// Each sector below `flushed` is of `generation`, each other one too, or as it was `before`.
void ExpectNothingLost(const std::vector<uint64_t>& before, const std::vector<uint64_t>& after,
                       uint64_t flushed, uint64_t generation) {
  ASSERT_EQ(after.size(), before.size());
  uint64_t lost = 0;
  uint64_t torn = 0;
  for (uint64_t sector = 0; sector < after.size(); ++sector) {
    if (after[sector] == generation) continue;
    if (sector < flushed) ++lost;
    if (after[sector] != before[sector]) ++torn;
  }
  EXPECT_EQ(lost, 0u) << "of the " << flushed << " sectors that were flushed";
  EXPECT_EQ(torn, 0u) << "sectors hold neither what was written nor what was there";
}

// "direct" or "buffered", policy.
class KillTest : public CrashTest,
                 public testing::WithParamInterface<std::tuple<std::string, std::string>> {};

TEST_P(KillTest, NoWriteThatWasFlushedIsLostAndNoSectorIsTorn) {
  const auto& [kind, policy] = GetParam();
  std::mt19937_64 random(TestSeed());
  std::vector<uint64_t> before(kImageBytes / kSectorBytes, kNeverWritten);
  int killed = 0;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    Process process = StartBlk(kind == "direct" ? ",direct" : "", {"--wire", policy});
    ASSERT_TRUE(process.WaitForOutput("blk: flushed 16384 sectors\n"));
    usleep(static_cast<useconds_t>(random() % 100'000));
    process.Signal(SIGKILL);
    const ProcessResult result = process.Finish();
    ASSERT_THAT(result.signal, AnyOf(SIGKILL, 0));  // 0: it was through.
    if (result.signal == SIGKILL) ++killed;

    const std::optional<Found> found = WhatItFound(result.out);
    ASSERT_TRUE(found.has_value()) << result.out;
    const std::vector<uint64_t> after = ReadGenerations(image_);
    ExpectNothingLost(before, after, LastFlushed(result.out), found->generation + 1);
    ExpectFinds(after);
    before = ReadGenerations(image_);
  }
  EXPECT_GT(killed, 0) << "no run was still writing when it was to be killed";
}

INSTANTIATE_TEST_SUITE_P(All, KillTest,
                         testing::Combine(testing::Values("buffered", "direct"),
                                          testing::Values("all", "on-demand")),
                         [](const auto& info) {
                           return std::get<0>(info.param) +
                                  (std::get<1>(info.param) == "all" ? "_all" : "_on_demand");
                         });

// The signal; "direct" or "buffered".
class StopTest : public CrashTest,
                 public testing::WithParamInterface<std::tuple<int, std::string>> {};

TEST_P(StopTest, InTheMiddleOfIoIsPromptAndTheDiskIsFreeAtOnce) {
  const auto& [signal, kind] = GetParam();
  Process process = StartBlk(kind == "direct" ? ",direct" : "");
  ASSERT_TRUE(process.WaitForOutput("blk: flushed 16384 sectors\n"));

  const auto start = std::chrono::steady_clock::now();
  process.Signal(signal);
  const ProcessResult result = process.Finish();
  const auto took = std::chrono::steady_clock::now() - start;

  EXPECT_EQ(result.signal, signal);
  EXPECT_LT(took, kPromptly);
  const std::vector<uint64_t> after = ReadGenerations(image_);
  ExpectNothingLost(std::vector<uint64_t>(after.size(), kNeverWritten), after,
                    LastFlushed(result.out), 1);
  ExpectFinds(after);
}

INSTANTIATE_TEST_SUITE_P(All, StopTest,
                         testing::Combine(testing::Values(SIGINT, SIGTERM),
                                          testing::Values("buffered", "direct")),
                         [](const auto& info) {
                           return (std::get<0>(info.param) == SIGINT ? "sigint_" : "sigterm_") +
                                  std::get<1>(info.param);
                         });

TEST_F(CrashTest, ASignalAtAnyMomentEndsAMachineFullOfDevices) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 12; ++round) {
    Process process =
        StartBlk("", {"--rng", "--console", "--balloon", "--dma-engine", "--irqchip"});
    // From the start of the process into the writing.
    usleep(static_cast<useconds_t>(random() % 200'000));
    process.Signal(SIGTERM);
    const ProcessResult result = process.Finish();
    ASSERT_TRUE(result.signal == SIGTERM || result.exit_status == 0) << result.err;
  }
  EXPECT_EQ(StartBlk().Finish().exit_status, 0);
}

TEST_F(CrashTest, AKillAtAnyMomentLeavesADiskThatCanBeUsed) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 8; ++round) {
    Process process = StartBlk(",direct");
    usleep(static_cast<useconds_t>(random() % 200'000));
    process.Signal(SIGKILL);
    const ProcessResult result = process.Finish();
    ASSERT_TRUE(result.signal == SIGKILL || result.exit_status == 0) << result.err;
  }
  const ProcessResult result = StartBlk().Finish();
  EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_THAT(result.out, HasSubstr("wrote and checked 131072 sectors"));
}

}  // namespace
}  // namespace vmwire
