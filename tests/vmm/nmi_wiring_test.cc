#include "vmm/nmi_wiring.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/support/status_matchers.h"
#include "tests/vmm/fake_machine.h"

namespace vmwire {
namespace {

constexpr size_t kLint0 = 0x350;
constexpr size_t kLint1 = 0x360;
constexpr uint32_t kNmi = 0x400;
constexpr uint32_t kMasked = 0x10000;

class NmiWiringTest : public testing::Test {
 protected:
  bool MayGet() { return MayGetNmi(machine_.vcpu()); }
  void SetApic(size_t offset, uint32_t value) {
    kvm_lapic_state apic = machine_.vcpu().GetLapic().value();
    std::memcpy(apic.regs + offset, &value, sizeof(value));
    ASSERT_THAT(machine_.vcpu().SetLapic(apic), IsOk());
  }

  FakeMachine machine_{/*irqchip=*/true};
};

TEST_F(NmiWiringTest, NothingComesAfterReset) { EXPECT_FALSE(MayGet()); }

TEST_F(NmiWiringTest, NothingComesOfWhatFirmwareLeaves) {
  SetApic(kLint0, 0x700);
  SetApic(kLint1, kNmi);

  EXPECT_FALSE(MayGet());
}

TEST_F(NmiWiringTest, TimerMayComeAsAnNmiAtLint0) {
  SetApic(kLint0, kNmi);
  EXPECT_TRUE(MayGet());
  SetApic(kLint0, kNmi | kMasked);
  EXPECT_FALSE(MayGet());
}

TEST_F(NmiWiringTest, EachPinOfTheIoapicMayComeAsAnNmi) {
  for (size_t pin = 0; pin < KVM_IOAPIC_NUM_PINS; ++pin) {
    SCOPED_TRACE(pin);
    machine_.kvm().SetIoapicPin(pin, kNmi);
    EXPECT_TRUE(MayGet());
    machine_.kvm().SetIoapicPin(pin, kNmi | kMasked);
    EXPECT_FALSE(MayGet());
  }
}

TEST_F(NmiWiringTest, ModesThatWaitForTheInterruptFlagDoNotCount) {
  // Fixed, lowest priority, SMI, reserved, NMI, INIT, reserved, external.
  constexpr bool kComes[] = {false, false, true, false, true, true, false, false};
  for (uint64_t mode = 0; mode < 8; ++mode) {
    machine_.kvm().SetIoapicPin(2, 0xff00'0000'0000'a030 | mode << 8);
    EXPECT_EQ(MayGet(), kComes[mode]) << mode;
  }
}

TEST_F(NmiWiringTest, WhereNothingIsKnownOneMayCome) {
  for (uint64_t nth = 1; nth <= 2; ++nth) {
    machine_.journal().FailNth(nth, EIO);
    EXPECT_TRUE(MayGet()) << nth;
    EXPECT_TRUE(machine_.journal().failed());
  }
}

}  // namespace
}  // namespace vmwire
