// Guests with devices, launched by the command on the real KVM: each with its device, under every
// policy, pin level and backing, and what the counters say of the way that the bytes took.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "tests/end_to_end/command.h"
#include "tests/end_to_end/device_run.h"
#include "tests/end_to_end/disk_image.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kMemory = 4 << 20;
constexpr uint64_t kBalloonPages = 128;

struct DeviceGuest {
  std::string name;
  std::string option;
  std::string device;  // As the summary calls it.
  std::string message;
};

const DeviceGuest kGuests[] = {
    {"blk", "--disk", "disk0", "blk: wrote and checked 2048 sectors\n"},
    {"rng", "--rng", "rng", "rng: drew 8192 bytes"},
    {"console", "--console", "console", "one\ntwo\nconsole: echoed 2 lines, 8 bytes\n"},
    {"balloon", "--balloon", "balloon", "balloon: deflated 128 pages"},
    {"dma", "--dma-engine", "dma-engine",
     "dma: copy, fill, compare, checksum, lists and errors are right\n"},
};

class DeviceGuestTest : public DeviceTest {
 protected:
  // Runs `guest` with its device and whatever comes after that.
  ProcessResult Launch(const DeviceGuest& guest, const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"run", GuestPath(guest.name), "--json", guest.option};
    if (guest.option == "--disk")
      arguments.push_back("path=" + MakeImage(scratch_, "disk.img", 1 << 20));
    arguments.insert(arguments.end(), options.begin(), options.end());
    return Vmwire(arguments, InputFrom(scratch_.File("input", "one\ntwo\nquit\n")));
  }

  static void ExpectRight(const DeviceGuest& guest, const ProcessResult& result) {
    EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
    EXPECT_THAT(result.out, HasSubstr(guest.message));
    const nlohmann::json summary = SummaryOf(result);
    EXPECT_GT(Counter(summary, guest.device, "dma_mappings"), 0u);
    // What the guest dma asks for on purpose.
    EXPECT_EQ(Counter(summary, guest.device, "dma_refused"), guest.name == "dma" ? 2u : 0u);
  }

  ScratchFolder scratch_;
};

// Guest, policy, level.
using Wiring = std::tuple<DeviceGuest, std::string, std::string>;
class DeviceWiringTest : public DeviceGuestTest, public testing::WithParamInterface<Wiring> {};

TEST_P(DeviceWiringTest, TheGuestFindsItsDeviceRight) {
  const auto& [guest, policy, level] = GetParam();

  const ProcessResult result = Launch(guest, {"--wire", policy, "--pin-level", level});

  ExpectRight(guest, result);
  const nlohmann::json summary = SummaryOf(result);
  if (policy == "all") {
    EXPECT_EQ(summary["wired_bytes"], kMemory);
  }
  if (policy == "dma") {
    EXPECT_LT(summary["wired_bytes"], kMemory);
  }
  EXPECT_EQ(HasDevice(summary, "on-demand"), policy == "on-demand");
  if (policy == "on-demand") {
    EXPECT_GT(Counter(summary, "on-demand", "misses"), 0u);
  }
}

std::string WiringName(const testing::TestParamInfo<Wiring>& info) {
  const std::string& policy = std::get<1>(info.param);
  return std::get<0>(info.param).name + "_" + (policy == "on-demand" ? "on_demand" : policy) + "_" +
         std::get<2>(info.param);
}

INSTANTIATE_TEST_SUITE_P(All, DeviceWiringTest,
                         testing::Combine(testing::ValuesIn(kGuests),
                                          testing::Values("all", "dma", "on-demand"),
                                          testing::Values("resident", "pinned", "guarded")),
                         WiringName);

TEST_F(DeviceGuestTest, PolicyNoneIsRefusedForEachDeviceWithTheOptionsThatHelp) {
  for (const DeviceGuest& guest : kGuests) {
    const ProcessResult result = Launch(guest, {"--wire", "none"});
    EXPECT_EQ(result.exit_status, 2) << guest.name;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, AllOf(HasSubstr("--wire none"), HasSubstr("--wire all"),
                                  HasSubstr("--wire dma"), HasSubstr("--wire on-demand")));
  }
}

TEST_F(DeviceGuestTest, EachGuestWithoutItsDeviceSaysWhichOptionGivesIt) {
  for (const DeviceGuest& guest : kGuests) {
    const ProcessResult result = Vmwire({"run", GuestPath(guest.name)});
    EXPECT_GT(result.exit_status, 16) << guest.name << result.err;
    EXPECT_THAT(result.out, HasSubstr("run with " + guest.option));
  }
}

class DeviceBackingTest : public DeviceGuestTest,
                          public testing::WithParamInterface<std::string> {};

TEST_P(DeviceBackingTest, EachGuestFindsItsDeviceRight) {
  for (const DeviceGuest& guest : kGuests) {
    for (const std::string policy : {"all", "on-demand"}) {
      const ProcessResult result = Launch(guest, {"--memory", GetParam(), "--wire", policy});
      // guest_memfd that can be mapped is new.
      if (result.exit_status == 3) GTEST_SKIP() << result.err;
      SCOPED_TRACE(guest.name + ", " + policy);
      ExpectRight(guest, result);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceBackingTest,
                         testing::Values("backing=memfd", "backing=memfd,sealed",
                                         "backing=guest_memfd", "hugepages=none"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           return name;
                         });

// Policy, level.
using Path = std::tuple<std::string, std::string>;
class TransferTest : public DeviceGuestTest, public testing::WithParamInterface<Path> {};

TEST_P(TransferTest, ADiskUsesThePinnedBuffersWhereThereAreAny) {
  if (const auto reason = NoSharedBuffers()) GTEST_SKIP() << *reason;
  const auto& [policy, level] = GetParam();

  const ProcessResult result = Launch(kGuests[0], {"--wire", policy, "--pin-level", level});

  const nlohmann::json summary = SummaryOf(result);
  const uint64_t fixed = Counter(summary, "disk0", "fixed_transfers");
  const uint64_t other = Counter(summary, "disk0", "plain_transfers") +
                         Counter(summary, "disk0", "vectored_transfers");
  EXPECT_EQ(fixed != 0, level != "resident") << summary;
  EXPECT_EQ(other != 0, level == "resident") << summary;
  EXPECT_EQ(Counter(summary, "disk0", "errors"), 0u);
  EXPECT_EQ(Counter(summary, "disk0", "bytes_written"), 1u << 20);
  EXPECT_EQ(Counter(summary, "disk0", "bytes_read"), 2u << 20);
  EXPECT_EQ(Counter(summary, "disk0", "flushes"), 1u);
}

INSTANTIATE_TEST_SUITE_P(All, TransferTest,
                         testing::Combine(testing::Values("all", "dma", "on-demand"),
                                          testing::Values("resident", "pinned", "guarded")),
                         [](const testing::TestParamInfo<Path>& info) {
                           const std::string& policy = std::get<0>(info.param);
                           return (policy == "on-demand" ? "on_demand" : policy) + "_" +
                                  std::get<1>(info.param);
                         });

TEST_F(DeviceGuestTest, ABalloonNeverGivesBackWiredPagesAndSaysSo) {
  const ProcessResult result = Launch(kGuests[3], {"--wire", "all"});
  const nlohmann::json summary = SummaryOf(result);
  EXPECT_EQ(Counter(summary, "balloon", "refused_pages"), kBalloonPages);
  EXPECT_EQ(Counter(summary, "balloon", "discarded_pages"), 0u);
  EXPECT_EQ(summary["host"]["resident_bytes"], kMemory);
  EXPECT_THAT(result.out, HasSubstr("0 read as zero, 128 hold what they held"));
}

TEST_F(DeviceGuestTest, ABalloonGivesBackPagesOutsideOfTheWindows) {
  const ProcessResult result = Launch(kGuests[3], {"--wire", "dma"});
  const nlohmann::json summary = SummaryOf(result);
  EXPECT_EQ(Counter(summary, "balloon", "refused_pages"), 0u);
  EXPECT_EQ(Counter(summary, "balloon", "discarded_pages"), kBalloonPages);
  EXPECT_THAT(result.out, HasSubstr("128 read as zero, 0 hold what they held"));
}

TEST_F(DeviceGuestTest, WhatOnDemandKeepsCanBeLessThanOneTransfer) {
  for (const DeviceGuest& guest : kGuests) {
    SCOPED_TRACE(guest.name);
    ExpectRight(guest, Launch(guest, {"--wire", "on-demand", "--dma-keep", "4K"}));
  }
}

TEST_F(DeviceGuestTest, DoorbellsOfADiskCostNoExit) {
  std::vector<uint64_t> exits;
  for (const uint64_t bytes : {uint64_t{1} << 20, uint64_t{8} << 20}) {
    const std::string image = MakeImage(scratch_, "disk.img", bytes);
    const ProcessResult result =
        Vmwire({"run", GuestPath("blk"), "--json", "--disk", "path=" + image});
    ASSERT_EQ(result.exit_status, 0) << result.err;
    exits.push_back(SummaryOf(result)["exits"]["KVM_EXIT_MMIO"].get<uint64_t>());
  }
  // Those of the set-up only: eight times the transfers, and not one more.
  EXPECT_EQ(exits[0], exits[1]);
}

TEST_F(DeviceGuestTest, AllDevicesInOneMachineWorkForWhoeverUsesOne) {
  for (const DeviceGuest& guest : kGuests) {
    std::vector<std::string> options;
    for (const DeviceGuest& other : kGuests) {
      if (other.name == guest.name) continue;
      options.push_back(other.option);
      if (other.option == "--disk")
        options.push_back("path=" + MakeImage(scratch_, "other.img", 1 << 20));
    }
    SCOPED_TRACE(guest.name);
    ExpectRight(guest, Launch(guest, options));
  }
}

TEST_F(DeviceGuestTest, MoreDevicesThanAMachineCanHaveAreRefused) {
  const std::string image = MakeImage(scratch_, "disk.img", 1 << 20);
  std::vector<std::string> arguments = {"run", GuestPath("blk"), "--rng"};
  for (int i = 0; i < 32; ++i) {
    arguments.insert(arguments.end(), {"--disk", "path=" + image + ",readonly"});
  }
  const ProcessResult result = Vmwire(arguments);
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("33 devices"), HasSubstr("32")));
}

TEST_F(DeviceGuestTest, TheProofHoldsBesideDevices) {
  const ProcessResult result = Launch(kGuests[0], {"--verify"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("proven"));
  EXPECT_THAT(result.out, HasSubstr(kGuests[0].message));
}

TEST_F(DeviceGuestTest, TheTableOfStatisticsHasARowForEachCounter) {
  const ProcessResult result = Launch(kGuests[0], {"--stats", "--rng"});
  for (const std::string row : {"device disk0", "device rng", "bytes_written", "dma_refused"}) {
    EXPECT_THAT(result.err, HasSubstr(row));
  }
}

TEST_F(DeviceTest, TheTimerInterruptsAGuestUnderEveryPolicyAndLevel) {
  for (const std::string policy : {"all", "dma", "on-demand", "none"}) {
    for (const std::string level : {"resident", "pinned", "guarded"}) {
      const ProcessResult result =
          Vmwire({"run", GuestPath("irq"), "--irqchip", "--wire", policy, "--pin-level", level});
      EXPECT_EQ(result.exit_status, 0) << policy << " " << level << ": " << result.err;
      EXPECT_THAT(result.out, HasSubstr("irq: "));
    }
  }
}

}  // namespace
}  // namespace vmwire
