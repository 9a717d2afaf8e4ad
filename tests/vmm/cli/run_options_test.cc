#include "vmm/cli/run_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
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
  EXPECT_FALSE(options.machine.irqchip);
  EXPECT_EQ(options.machine.huge_pages, HugePages::kTransparent);
  EXPECT_FALSE(options.machine.wire_limit.has_value());
  EXPECT_FALSE(options.image.start.has_value());
}

TEST(RunOptionsTest, EveryOptionReachesTheConfiguration) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const RunOptions options,
      Parse({"image",       "--memory",     "size=16M,backing=memfd,hugepages=none",
             "--wire",      "dma",          "--dma-window",
             "1M+4K",       "--dma-window", "2M+8K",
             "--pin-level", "pinned",       "--wire-limit",
             "1G",          "--format",     "flat",
             "--start",     "protected32",  "--stats",
             "--json",      "--irqchip"}));
  EXPECT_EQ(options.machine.memory_bytes, 16u << 20);
  EXPECT_EQ(options.machine.backing, MemoryBacking::kMemfd);
  EXPECT_EQ(options.machine.huge_pages, HugePages::kNone);
  EXPECT_EQ(options.machine.wire, WirePolicyKind::kDma);
  ASSERT_EQ(options.machine.dma_windows.size(), 2u);
  EXPECT_EQ(options.machine.dma_windows[1].ToString(), "[0x200000, 0x202000)");
  EXPECT_EQ(options.machine.pin_level, PinLevel::kPinned);
  EXPECT_EQ(options.machine.wire_limit, uint64_t{1} << 30);
  EXPECT_TRUE(options.machine.irqchip);
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

TEST(RunOptionsTest, AnImageBetweenOptionsIsTheImage) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const RunOptions options,
      Parse({"--wire", "dma", "--dma-window", "1M+4K", "image", "--stats", "--json"}));
  EXPECT_EQ(options.image_path, "image");
  EXPECT_EQ(options.machine.dma_windows.size(), 1u);
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

TEST(RunOptionsTest, NoDeviceUnlessAskedFor) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options, Parse({"image"}));
  EXPECT_EQ(options.machine.devices.Count(), 0u);
  EXPECT_EQ(options.machine.devices.dma_keep_bytes, kDefaultDmaKeepBytes);
}

TEST(RunOptionsTest, EveryDeviceReachesTheConfiguration) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options,
                              Parse({"--disk", "path=a.img,readonly", "--disk", "b.img,direct",
                                     "image", "--rng", "--console", "--balloon", "--dma-engine"}));
  const DeviceConfig& devices = options.machine.devices;
  EXPECT_EQ(options.image_path, "image");
  EXPECT_EQ(devices.Count(), 6u);
  ASSERT_EQ(devices.disks.size(), 2u);
  EXPECT_EQ(devices.disks[0].path, "a.img");
  EXPECT_TRUE(devices.disks[0].read_only);
  EXPECT_EQ(devices.disks[1].path, "b.img");
  EXPECT_TRUE(devices.disks[1].direct);
  EXPECT_TRUE(devices.rng);
  EXPECT_TRUE(devices.console);
  EXPECT_TRUE(devices.balloon);
  EXPECT_TRUE(devices.dma_engine);
}

TEST(RunOptionsTest, EachDeviceAloneIsThatDeviceAlone) {
  for (const std::string option : {"--rng", "--console", "--balloon", "--dma-engine"}) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options, Parse({"image", option}));
    const DeviceConfig& devices = options.machine.devices;
    EXPECT_EQ(devices.Count(), 1u) << option;
    EXPECT_EQ(devices.rng, option == "--rng");
    EXPECT_EQ(devices.console, option == "--console");
    EXPECT_EQ(devices.balloon, option == "--balloon");
    EXPECT_EQ(devices.dma_engine, option == "--dma-engine");
  }
}

TEST(RunOptionsTest, ABadDiskNamesTheOptionAndTheNearestKey) {
  EXPECT_THAT(Parse({"image", "--disk", "path=a.img,readonyl"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--disk"), HasSubstr("'readonly'"))));
}

TEST(RunOptionsTest, WhatOnDemandKeepsIsASize) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options,
                              Parse({"image", "--wire", "on-demand", "--dma-keep", "16M"}));
  EXPECT_EQ(options.machine.wire, WirePolicyKind::kOnDemand);
  EXPECT_EQ(options.machine.devices.dma_keep_bytes, 16u << 20);
  EXPECT_THAT(Parse({"image", "--wire", "on-demand", "--dma-keep", "lots"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--dma-keep"), HasSubstr("lots"))));
}

TEST(RunOptionsTest, WhatIsKeptWithoutOnDemandIsRefused) {
  for (const std::string policy : {"all", "dma", "none"}) {
    EXPECT_THAT(Parse({"image", "--wire", policy, "--dma-keep", "16M"}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("--wire on-demand"), HasSubstr("--wire " + policy))));
  }
}

TEST(RunOptionsTest, WhatAGuestIsGivenReachesTheConfiguration) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const RunOptions options,
      Parse({"image", "--cmdline", "console=ttyS0 quiet", "--initrd", "initrd.img", "--module",
             "a.bin", "--module", "b.bin,with text,and commas", "--cpus", "2", "--cpu",
             "hide=smap+avx", "--virtio-cmdline", "--complete-emulation"}));
  EXPECT_EQ(options.image.command_line, "console=ttyS0 quiet");
  ASSERT_EQ(options.image.modules.size(), 3u);
  EXPECT_EQ(options.image.modules[0].path, "initrd.img");
  EXPECT_EQ(options.image.modules[1].path, "a.bin");
  EXPECT_EQ(options.image.modules[1].command_line, "");
  EXPECT_EQ(options.image.modules[2].path, "b.bin");
  EXPECT_EQ(options.image.modules[2].command_line, "with text,and commas");
  EXPECT_EQ(options.machine.cpus, 2u);
  EXPECT_EQ(options.machine.cpu_hide, (std::vector<std::string>{"smap", "avx"}));
  EXPECT_TRUE(options.machine.devices_on_command_line);
  EXPECT_TRUE(options.machine.complete_emulation);
}

TEST(RunOptionsTest, AppendIsAnotherNameOfCmdline) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options, Parse({"image", "--append", "quiet"}));
  EXPECT_EQ(options.image.command_line, "quiet");
}

TEST(RunOptionsTest, EveryFormatHasItsName) {
  for (const ImageFormatChoice format :
       {ImageFormatChoice::kAuto, ImageFormatChoice::kElf, ImageFormatChoice::kFlat,
        ImageFormatChoice::kMultiboot, ImageFormatChoice::kMultiboot2, ImageFormatChoice::kPvh,
        ImageFormatChoice::kLinux}) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options,
                                Parse({"image", "--format", ToString(format)}));
    EXPECT_EQ(options.image.format, format);
  }
}

TEST(RunOptionsTest, AMemorySizeIsKnownToBeGiven) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions given, Parse({"image", "--memory", "4M"}));
  EXPECT_TRUE(given.has_memory_size);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions not_given,
                              Parse({"image", "--memory", "backing=memfd"}));
  EXPECT_FALSE(not_given.has_memory_size);
  EXPECT_EQ(not_given.machine.backing, MemoryBacking::kMemfd);
}

TEST(RunOptionsTest, WhatIsWatchedReachesTheRun) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options,
                              Parse({"image", "--expect", "^login: ", "--timeout", "90s", "--trace",
                                     "io,emulation", "--complete-emulation"}));
  EXPECT_TRUE(options.expect.has_value());
  EXPECT_EQ(options.timeout, std::chrono::seconds(90));
  EXPECT_TRUE(options.trace_io);
  EXPECT_TRUE(options.trace_emulation);
  EXPECT_EQ(options.interactive, Interaction::kNone);
}

TEST(RunOptionsTest, InteractiveIsTheSerialPortUnlessSaidOtherwise) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions serial, Parse({"--interactive", "image"}));
  EXPECT_EQ(serial.interactive, Interaction::kSerial);
  EXPECT_EQ(serial.image_path, "image");
  VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions console,
                              Parse({"--interactive=console", "--console", "image"}));
  EXPECT_EQ(console.interactive, Interaction::kConsole);
  EXPECT_THAT(Parse({"--interactive=console", "image"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("add --console")));
  EXPECT_THAT(Parse({"--interactive=seriell", "image"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--interactive"), HasSubstr("'serial'"))));
}

TEST(RunOptionsTest, ATraceOfEmulationThatIsNotDoneIsRefused) {
  EXPECT_THAT(Parse({"image", "--trace", "io,emulation"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--complete-emulation")));
}

TEST(RunOptionsTest, BadValuesNameTheirOption) {
  const std::vector<std::vector<std::string>> bad = {
      {"--cpus", "0"},           {"--cpus", std::to_string(kMaxCpus + 1)},
      {"--cpus", "-1"},          {"--cpus", "two"},
      {"--cpu", "show=avx"},     {"--cpu", "hide="},
      {"--cpu", "hide=avxx"},    {"--cpu", "hide"},
      {"--expect", "(unclosed"}, {"--expect", "a(?=b)"},
      {"--timeout", "soon"},     {"--timeout", "0"},
      {"--timeout", "1.5s"},     {"--trace", "oi"},
      {"--module", ",text"},     {"--format", "multibot"}};
  for (const std::vector<std::string>& words : bad) {
    EXPECT_THAT(Parse({"image", words[0], words[1]}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words[0])))
        << words[1];
  }
}

TEST(RunOptionsTest, AnEmptyValueIsNotNoValue) {
  for (const std::string option :
       {"--format", "--initrd", "--module", "--start", "--memory", "--wire", "--dma-window",
        "--pin-level", "--wire-limit", "--cpus", "--cpu", "--expect", "--timeout", "--trace",
        "--disk", "--dma-keep"}) {
    EXPECT_THAT(Parse({"image", option, ""}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(option), HasSubstr("the value is empty"))))
        << option;
  }
}

TEST(RunOptionsTest, ACommandLineMayBeEmpty) {
  for (const std::string option : {"--cmdline", "--append"}) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const RunOptions options, Parse({"image", option, ""}));
    EXPECT_EQ(options.image.command_line, "") << option;
  }
}

}  // namespace
}  // namespace vmwire
