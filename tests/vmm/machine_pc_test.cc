// The machine of an image that expects a PC: interrupt controllers, several CPUs, the ways to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "tests/vmm/machine_fixture.h"

namespace vmwire {
namespace {

using testing::Contains;
using testing::HasSubstr;
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

TEST_F(MachinePcTest, AResetEndsTheRunAsThat) {
  Create(TwoCpus(), kResetPort, kResetValue);

  EXPECT_EQ(machine_->Run(stop_).kind, RunOutcome::Kind::kReset);
  EXPECT_EQ(host_->printed(), "hi\n");
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
