// The machine on both fakes: the order of its steps, what it does when any one host call fails, and
// what it leaves.
#include "vmm/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tests/vmm/machine_fixture.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

TEST(MachineTest, MemoryIsMappedThenWiredThenASlotThenTheCpuRuns) {
  FakeHost host(Configure(WirePolicyKind::kAll, PinLevel::kResident, MemoryBacking::kAnonymous));
  Timeline timeline;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));
  StopRequest stop;

  const RunOutcome outcome = machine->Run(stop);

  EXPECT_EQ(outcome.kind, RunOutcome::Kind::kExited);
  EXPECT_EQ(host.printed(), "hi\n");
  const std::vector<std::string> entries = host.journal().entries();
  const size_t map = IndexOf(entries, "map 0x");
  const size_t populate = IndexOf(entries, "populate");
  const size_t slot = IndexOf(entries, "slot");
  EXPECT_LT(map, populate);
  EXPECT_LT(populate, slot);
  EXPECT_LT(slot, entries.size());
}

TEST(MachineTest, InterruptControllerComesBeforeTheVcpuAndOnlyIfAskedFor) {
  MachineConfig config =
      Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous);
  FakeHost without(config);
  config.irqchip = true;
  FakeHost with(config);
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine_without, without.Create(timeline));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine_with, with.Create(timeline));

  EXPECT_FALSE(machine_without->interrupt_controller().has_irqchip);
  EXPECT_TRUE(without.journal().EntriesWith("kvm create irqchip").empty());
  EXPECT_TRUE(machine_with->interrupt_controller().has_irqchip);
  EXPECT_TRUE(machine_with->interrupt_controller().has_timer);
  const std::vector<std::string> entries = with.journal().entries();
  EXPECT_LT(IndexOf(entries, "kvm create irqchip"), IndexOf(entries, "kvm create vcpu"));
  EXPECT_LT(IndexOf(entries, "kvm create vcpu"), entries.size());
}

TEST(MachineTest, TeardownIsTheReverse) {
  FakeHost host(Configure(WirePolicyKind::kAll, PinLevel::kResident, MemoryBacking::kAnonymous));
  Timeline timeline;
  absl::StatusOr<std::unique_ptr<Machine>> machine = host.Create(timeline);
  ASSERT_THAT(machine, IsOk());
  host.journal().Clear();

  machine->reset();

  const std::vector<std::string> entries = host.journal().entries();
  EXPECT_LT(IndexOf(entries, "slot"), IndexOf(entries, "unlock"));
  EXPECT_LT(IndexOf(entries, "unlock"), IndexOf(entries, "unmap 0x"));
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineTest, TheStepsAreTimedInTheirOrder) {
  FakeHost host(Configure(WirePolicyKind::kAll, PinLevel::kResident, MemoryBacking::kAnonymous));
  Timeline timeline;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));
  StopRequest stop;

  machine->Run(stop);

  for (size_t i = 1; i < kStepCount; ++i) {
    ASSERT_TRUE(timeline.Elapsed(static_cast<Step>(i)).has_value()) << kStepNames[i];
    EXPECT_LE(*timeline.Elapsed(static_cast<Step>(i - 1)), *timeline.Elapsed(static_cast<Step>(i)))
        << kStepNames[i];
  }
}

TEST(MachineTest, PolicyDmaWiresTheWindowsOnly) {
  FakeHost host(Configure(WirePolicyKind::kDma, PinLevel::kResident, MemoryBacking::kAnonymous));
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));

  EXPECT_EQ(machine->wired_bytes(), 0x10000u);
  EXPECT_EQ(host.memory().locked_bytes(), 0x10000u);
}

TEST(MachineTest, MemoryAboveTheHoleIsASlotOfItsOwn) {
  MachineConfig config =
      Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous);
  config.memory_bytes = uint64_t{5} << 30;
  FakeHost host(config);
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));

  const std::vector<kvm_userspace_memory_region> slots = host.kvm().slots();
  ASSERT_EQ(slots.size(), 2u);
  EXPECT_EQ(slots[1].guest_phys_addr, uint64_t{4} << 30);
  EXPECT_EQ(slots[1].memory_size, uint64_t{2} << 30);
  EXPECT_EQ(slots[1].userspace_addr, slots[0].userspace_addr + slots[0].memory_size);
}

TEST(MachineTest, MoreThanTheBudgetIsRefusedBeforeTheFirstFault) {
  MachineConfig config =
      Configure(WirePolicyKind::kAll, PinLevel::kResident, MemoryBacking::kAnonymous);
  config.wire_limit = kMemory - kPageSize;
  FakeHost host(config);
  Timeline timeline;

  const auto machine = host.Create(timeline);

  EXPECT_THAT(machine, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("--wire-limit")));
  EXPECT_TRUE(host.journal().EntriesWith("populate").empty());
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineTest, MoreThanTheHostHasIsRefused) {
  FakeHost host(Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous));
  Timeline timeline;
  HostLimits limits = LimitsOfTest();
  limits.memory_total = kMemory - 1;

  EXPECT_THAT(host.Create(timeline, limits), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineTest, AWindowOutsideOfMemoryIsRefused) {
  MachineConfig config =
      Configure(WirePolicyKind::kDma, PinLevel::kResident, MemoryBacking::kAnonymous);
  config.dma_windows.push_back(GuestRange::Create(GuestAddress(kMemory), kPageSize).value());
  FakeHost host(config);
  Timeline timeline;

  EXPECT_THAT(host.Create(timeline),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[0x400000, 0x401000)")));
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineTest, ProgressThatSaysStopCancelsAndLeavesNothing) {
  FakeHost host(Configure(WirePolicyKind::kAll, PinLevel::kResident, MemoryBacking::kMemfd));
  Timeline timeline;

  const auto machine =
      host.Create(timeline, LimitsOfTest(), [](uint64_t, uint64_t) { return false; });

  EXPECT_THAT(machine, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineTest, AGuestExceptionIsReportedByName) {
  FakeHost host(Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous),
                kExceptionPort, 13);
  Timeline timeline;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Machine> machine, host.Create(timeline));
  StopRequest stop;

  const RunOutcome outcome = machine->Run(stop);

  EXPECT_EQ(outcome.kind, RunOutcome::Kind::kGuestException);
  EXPECT_THAT(outcome.report, HasSubstr("#GP (vector 13"));
}

TEST(MachineTest, WhatTheUserGotWrongIsRefusedWithoutKvm) {
  MachineConfig config =
      Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous);
  config.memory_bytes = kMemory + 1;
  FakeHost host(config);
  Timeline timeline;

  EXPECT_THAT(host.Create(timeline), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(host.journal().entries().empty());
}

TEST(MachineTest, WhatKvmShouldTakeAndRefusesIsOurFailure) {
  const MachineConfig config =
      Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous);
  for (uint64_t n = 1;; ++n) {
    FakeHost host(config);
    Timeline timeline;
    host.journal().FailNth(n, EINVAL);
    const absl::StatusOr<std::unique_ptr<Machine>> machine = host.Create(timeline);
    if (!host.journal().failed()) break;
    const std::vector<std::string> entries = host.journal().EntriesWith("kvm ");
    const bool kvm_failed = !entries.empty() && entries.back().find("FAILED") != std::string::npos;
    if (kvm_failed && !machine.ok()) {
      EXPECT_THAT(machine, StatusIs(absl::StatusCode::kInternal)) << "call " << n;
    }
  }
}

// Policy, level, backing.
using Setup = std::tuple<WirePolicyKind, PinLevel, MemoryBacking>;
class MachineFailureTest : public testing::TestWithParam<Setup> {};

TEST_P(MachineFailureTest, WhicheverHostCallFailsNothingIsLeft) {
  const auto& [wire, level, backing] = GetParam();
  ExpectNothingIsLeftWhicheverCallFails(Configure(wire, level, backing), BootSector());
}

INSTANTIATE_TEST_SUITE_P(
    All, MachineFailureTest,
    testing::Combine(testing::Values(WirePolicyKind::kAll, WirePolicyKind::kDma,
                                     WirePolicyKind::kNone),
                     testing::Values(PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded),
                     testing::Values(MemoryBacking::kAnonymous, MemoryBacking::kMemfd,
                                     MemoryBacking::kHugetlb, MemoryBacking::kGuestMemfd)),
    [](const testing::TestParamInfo<Setup>& info) {
      return std::string(ToString(std::get<0>(info.param))) + "_" +
             ToString(std::get<1>(info.param)) + "_" + ToString(std::get<2>(info.param));
    });

}  // namespace
}  // namespace vmwire
