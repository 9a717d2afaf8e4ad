#include "vmm/cli/run_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;

absl::StatusOr<RunOptions> Parse(std::vector<std::string> words) {
  CLI::App app;
  RunArguments arguments;
  DeclareRunOptions(app, arguments);
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back.
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return ResolveRunOptions(arguments);
}

TEST(RunOptionsTest, DefaultsAreSmallGuardedAndWireAll) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options, Parse({"image"}));
  EXPECT_EQ(options.image_path, "image");
  EXPECT_EQ(options.machine.memory_bytes, kDefaultMemoryBytes);
  EXPECT_EQ(options.machine.wire, WirePolicyKind::kAll);
  EXPECT_EQ(options.machine.pin_level, PinLevel::kGuarded);
  EXPECT_FALSE(options.machine.sealed);
  EXPECT_FALSE(options.verify);
  EXPECT_EQ(options.machine.huge_pages, HugePages::kTransparent);
  EXPECT_FALSE(options.machine.wire_limit.has_value());
  EXPECT_FALSE(options.image.start.has_value());
}

TEST(RunOptionsTest, EveryOptionReachesTheConfiguration) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const RunOptions options,
      Parse({"image", "--memory", "size=16M,backing=memfd,hugepages=none", "--wire", "dma",
             "--dma-window", "1M+4K", "--dma-window", "2M+8K", "--pin-level", "pinned",
             "--wire-limit", "1G", "--format", "flat", "--start", "protected32", "--stats",
             "--json"}));
  EXPECT_EQ(options.machine.memory_bytes, 16u << 20);
  EXPECT_EQ(options.machine.backing, MemoryBacking::kMemfd);
  EXPECT_EQ(options.machine.huge_pages, HugePages::kNone);
  EXPECT_EQ(options.machine.wire, WirePolicyKind::kDma);
  ASSERT_EQ(options.machine.dma_windows.size(), 2u);
  EXPECT_EQ(options.machine.dma_windows[1].ToString(), "[0x200000, 0x202000)");
  EXPECT_EQ(options.machine.pin_level, PinLevel::kPinned);
  EXPECT_EQ(options.machine.wire_limit, uint64_t{1} << 30);
  EXPECT_EQ(options.image.format, ImageFormatChoice::kFlat);
  EXPECT_EQ(options.image.start, StartMode::kProtected32);
  EXPECT_TRUE(options.stats);
  EXPECT_TRUE(options.json);
}

TEST(RunOptionsTest, EveryPinLevelHasItsName) {
  for (const PinLevel level : {PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded}) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options,
                                Parse({"image", "--pin-level", ToString(level)}));
    EXPECT_EQ(options.machine.pin_level, level);
  }
}

TEST(RunOptionsTest, VerifyAndASealedMemoryFileReachTheRun) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options, Parse({"image", "--verify", "--memory",
                                                               "8M,backing=hugetlb,sealed"}));
  EXPECT_TRUE(options.verify);
  EXPECT_EQ(options.machine.backing, MemoryBacking::kHugetlb);
  EXPECT_TRUE(options.machine.sealed);
}

TEST(RunOptionsTest, AnImageMayFollowADmaWindow) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options,
                              Parse({"--wire", "dma", "--dma-window", "1M+4K", "image"}));
  EXPECT_EQ(options.image_path, "image");
}

TEST(RunOptionsTest, AWordThatNobodyKnowsNamesTheOptionAndTheNearest) {
  EXPECT_THAT(
      Parse({"image", "--wire", "al"}),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("--wire"), HasSubstr("'all'"))));
  EXPECT_THAT(Parse({"image", "--memory", "sise=4M"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--memory"), HasSubstr("'size'"))));
}

TEST(RunOptionsTest, ADmaWindowWithoutItsPolicyIsRefused) {
  EXPECT_THAT(Parse({"image", "--wire", "none", "--dma-window", "1M+4K"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--wire dma")));
}

}  // namespace
}  // namespace vmwire
