// The machine of an image that expects a PC: interrupt controllers, several CPUs, the ways to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/descriptor_limit.h"
#include "tests/vmm/boot/bzimage_builder.h"
#include "tests/vmm/machine_fixture.h"

namespace vmwire {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

MachineConfig TwoCpus() {
  MachineConfig config =
      Configure(WirePolicyKind::kAll, PinLevel::kGuarded, MemoryBacking::kAnonymous);
  config.cpus = 2;
  return config;
}

uint32_t ApicRegister(const kvm_lapic_state& apic, size_t offset) {
  uint32_t value;
  std::memcpy(&value, apic.regs + offset, sizeof(value));
  return value;
}

class MachinePcTest : public testing::Test {
 protected:
  void Create(const MachineConfig& config, uint16_t port = kExitPort, uint8_t value = 0) {
    host_ = std::make_unique<FakeHost>(config, port, value);
    host_->UseImage(MultibootImage());
    VMWIRE_ASSERT_OK_AND_ASSIGN(machine_, host_->Create(timeline_));
  }

  std::unique_ptr<FakeHost> host_;
  Timeline timeline_;
  std::unique_ptr<Machine> machine_;
  StopRequest stop_;
};

TEST_F(MachinePcTest, TheFirstCpuEntersAsItsProtocolSays) {
  Create(TwoCpus());

  EXPECT_EQ(host_->kvm().registers()[0].rip, 0x100020u);
  EXPECT_EQ(host_->kvm().registers()[0].rax, 0x2badb002u);
  EXPECT_EQ(host_->kvm().registers()[1].rip, 0u) << "the second waits for its start";
}

TEST_F(MachinePcTest, ItHasAnInterruptControllerWithoutBeingAsked) {
  Create(Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous));

  EXPECT_THAT(host_->journal().entries(), Contains(HasSubstr("create irqchip")));
}

TEST_F(MachinePcTest, LocalApicsAreAsFirmwareLeavesThem) {
  Create(TwoCpus());

  const std::vector<kvm_lapic_state> apics = host_->kvm().lapics();
  ASSERT_THAT(apics, SizeIs(2));
  EXPECT_EQ(ApicRegister(apics[0], 0xf0), 0x1ffu);
  EXPECT_EQ(ApicRegister(apics[0], 0x350), 0x700u);
  EXPECT_EQ(ApicRegister(apics[0], 0x360), 0x400u);
  EXPECT_EQ(ApicRegister(apics[1], 0xf0), 0u);
  EXPECT_THAT(host_->journal().EntriesWith("kvm set lapic"), SizeIs(2))
      << "KVM must look at the second's too";
}

TEST_F(MachinePcTest, ModelSpecificRegistersAreAsFirmwareLeavesThem) {
  Create(TwoCpus());

  EXPECT_THAT(host_->kvm().msrs(), SizeIs(2));
  EXPECT_THAT(host_->kvm().msrs(), Each(ElementsAre(Pair(0x1a0, 1), Pair(0x2ff, 0x806))))
      << "fast strings; MTRRs on, with write-back as the default";
}

TEST_F(MachinePcTest, AResetEndsTheRunAsThat) {
  Create(TwoCpus(), kResetPort, kResetValue);

  EXPECT_EQ(machine_->Run(stop_).kind, RunOutcome::Kind::kReset);
  EXPECT_EQ(host_->printed(), "hi\n");
}

TEST_F(MachinePcTest, AGuestSetsInterruptPinsByItself) {
  Create(TwoCpus(), 0x2005, 1);
  host_->kvm().PushOut(kExitPort, {0});

  EXPECT_EQ(machine_->Run(stop_).kind, RunOutcome::Kind::kExited);

  EXPECT_THAT(host_->journal().entries(), Contains("kvm set irq line 5 high"));
}

TEST(MachineCpusTest, EveryCpuIsToldWhatItIs) {
  MachineConfig config = TwoCpus();
  config.cpu_hide = {"avx"};
  kvm_cpuid_entry2 features = {};
  features.function = 1;
  features.ecx = 0xffffffff;
  FakeHost host(config, kExitPort, 0, {.cpuid = {features}});
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine, host.Create(timeline));

  const std::vector<std::vector<kvm_cpuid_entry2>> cpuids = host.kvm().cpuids();
  ASSERT_THAT(cpuids, SizeIs(2));
  for (uint32_t cpu = 0; cpu < 2; ++cpu) {
    ASSERT_THAT(cpuids[cpu], SizeIs(2)) << "the two leaves that the fake has";
    EXPECT_EQ(cpuids[cpu][0].ebx >> 24, cpu) << "its APIC id";
    EXPECT_EQ(cpuids[cpu][0].ecx >> 28 & 1, 0u) << "what is hidden";
    EXPECT_EQ(cpuids[cpu][0].ecx >> 24 & 1, 1u) << "the deadline timer, which KVM has";
  }
}

TEST(MachineCpusTest, NoFirmwareWasThereBeforeAnImageOfOurs) {
  FakeHost host(TwoCpus());
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine, host.Create(timeline));

  EXPECT_THAT(host.kvm().msrs(), ElementsAre(IsEmpty(), IsEmpty()));
}

TEST(MachineCpusTest, LocalApicsAreSetForAnImageOfOursTooWhereThereAreSeveral) {
  MachineConfig config = TwoCpus();
  FakeHost two(config);
  config.cpus = 1;
  config.irqchip = true;
  FakeHost one(config);
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine_of_two, two.Create(timeline));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine_of_one, one.Create(timeline));

  EXPECT_THAT(two.journal().EntriesWith("kvm set lapic"), SizeIs(2))
      << "some kernels lose the INIT of the second otherwise";
  EXPECT_THAT(one.journal().EntriesWith("kvm set lapic"), IsEmpty());
}

// `size` bytes of guest memory.
std::string BytesAt(const Machine& machine, GuestAddress address, size_t size) {
  const uint64_t host = machine.guest_host_range().start().value() + address.value();
  return std::string(reinterpret_cast<const char*>(host), size);
}

TEST(MachineFirmwareTest, TablesAreThereOnlyWithTheInterruptControllersThatTheyTellOf) {
  const MachineConfig config =
      Configure(WirePolicyKind::kAll, PinLevel::kGuarded, MemoryBacking::kAnonymous);
  FakeHost with(config);
  FakeHost without(config, kExitPort, 0, {.irqchip = false});
  with.UseImage(MultibootImage());
  without.UseImage(MultibootImage());
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine_with, with.Create(timeline));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine_without, without.Create(timeline));

  EXPECT_EQ(BytesAt(*machine_with, kRsdpAddress, 8), "RSD PTR ");
  EXPECT_EQ(BytesAt(*machine_with, kMpTableAddress, 4), "_MP_");
  EXPECT_THAT(
      BytesAt(*machine_without, kFirmwareStart, kFirmwareEnd.value() - kFirmwareStart.value()),
      Each('\0'));
}

TEST(MachineDevicesOnCommandLineTest, LineThatOverflowsWithThemIsRefusedWithoutKvm) {
  MachineConfig config =
      Configure(WirePolicyKind::kAll, PinLevel::kGuarded, MemoryBacking::kAnonymous);
  config.memory_bytes = 64 << 20;
  config.devices.rng = true;
  config.devices_on_command_line = true;
  FakeHost host(config);
  // The builder's kernel takes 2047 bytes.
  host.UseImage(
      ParseGuestImage("kernel", BzImageBuilder().Build(), {.command_line = std::string(2040, 'x')})
          .value());
  Timeline timeline;

  EXPECT_THAT(host.Create(timeline),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("command line")));
  EXPECT_THAT(host.journal().entries(), IsEmpty());
}

TEST(MachineRunTest, StopIsRequestedAlsoAfterARunThatCouldNotBegin) {
  if (kTypesNeedDescriptors) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  FakeHost host(Configure(WirePolicyKind::kNone, PinLevel::kResident, MemoryBacking::kAnonymous));
  host.UseImage(MultibootImage());
  Timeline timeline;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine, host.Create(timeline));
  StopRequest stop;

  const RunOutcome outcome = [&] {
    const NoMoreDescriptors limit;
    return machine->Run(stop);
  }();

  EXPECT_EQ(outcome.kind, RunOutcome::Kind::kRunFailed);
  EXPECT_TRUE(stop.requested());
}

TEST(MachineCpusTest, KvmHasItsPagesBeforeTheFirstCpu) {
  FakeHost host(TwoCpus());
  Timeline timeline;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto machine, host.Create(timeline));

  const std::vector<std::string> entries = host.journal().entries();
  EXPECT_THAT(entries, Contains("kvm set tss address 0xfffbd000"));
  EXPECT_LT(IndexOf(entries, "kvm set tss address"), IndexOf(entries, "kvm create vcpu"));
}

TEST(MachineCpusTest, MoreCpusThanKvmHasAreRefused) {
  MachineConfig config = TwoCpus();
  config.cpus = 5;  // The fake has 4.
  FakeHost host(config);
  Timeline timeline;

  EXPECT_THAT(host.Create(timeline),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("--cpus")));
  EXPECT_TRUE(host.IsAsBefore());
}

TEST(MachineCpusTest, NoCpuOrTooManyAreRefusedWithoutKvm) {
  for (const uint32_t cpus : {0u, kMaxCpus + 1}) {
    MachineConfig config = TwoCpus();
    config.cpus = cpus;
    FakeHost host(config);
    Timeline timeline;

    EXPECT_THAT(host.Create(timeline), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_TRUE(host.journal().entries().empty());
  }
}

TEST(MachineCpusTest, WhicheverHostCallFailsNothingIsLeft) {
  ExpectNothingIsLeftWhicheverCallFails(TwoCpus(), MultibootImage());
}

}  // namespace
}  // namespace vmwire
