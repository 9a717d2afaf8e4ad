#include "vmm/emulation/interrupt_gate.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/emulation/emulation_fixture.h"

namespace vmwire {
namespace {

constexpr uint8_t kVector = 0x20;
constexpr GuestException kRefused{.vector = 13, .error_code = kVector * 8 + 2};
constexpr GuestException kNotPresent{.vector = 11, .error_code = kVector * 8 + 2};

class InterruptGateTest : public testing::Test {
 protected:
  // What comes of INT with `access` in the gate: nullopt if it may go on.
  std::optional<GuestException> Check(EmulatedCpu cpu, uint8_t access) {
    cpu.sregs.idt.base = 0x9000;
    const bool long_mode = (cpu.sregs.efer & 0x400) != 0;
    memory_.SetGate(0x9000 + kVector * (long_mode ? 16u : 8u), access);
    const StepResult result = CheckInterruptGate(kVector, cpu, memory_);
    EXPECT_THAT(result, IsOk());
    return result.value_or(std::nullopt);
  }

  FakeLinearMemory memory_;
};

TEST_F(InterruptGateTest, GatesOfTheOwnLevelAreOpen) {
  EXPECT_EQ(Check(LongModeCpu(0), 0x8e), std::nullopt);
  EXPECT_EQ(Check(LongModeCpu(0), 0x8f), std::nullopt);
  EXPECT_EQ(Check(ProtectedModeCpu(0), 0x8e), std::nullopt);
  EXPECT_EQ(Check(LongModeCpu(3), 0xee), std::nullopt);
}

TEST_F(InterruptGateTest, GatesOfAnInnerLevelAreClosed) {
  EXPECT_EQ(Check(LongModeCpu(3), 0x8e), kRefused);
  EXPECT_EQ(Check(LongModeCpu(3), 0xce), kRefused);
  EXPECT_EQ(Check(ProtectedModeCpu(3), 0x8e), kRefused);
}

TEST_F(InterruptGateTest, GatesMustBePresent) {
  EXPECT_EQ(Check(LongModeCpu(0), 0x0e), kNotPresent);
  EXPECT_EQ(Check(LongModeCpu(3), 0x0e), kRefused) << "the level is looked at first";
}

TEST_F(InterruptGateTest, OtherDescriptorsAreRefused) {
  EXPECT_EQ(Check(LongModeCpu(0), 0x8c), kRefused) << "a call gate";
  EXPECT_EQ(Check(LongModeCpu(0), 0x9e), kRefused) << "a code segment";
  EXPECT_EQ(Check(LongModeCpu(0), 0x86), kRefused) << "of 16 bits, in long mode";
  EXPECT_EQ(Check(LongModeCpu(0), 0x85), kRefused) << "a task gate, in long mode";
  EXPECT_EQ(Check(ProtectedModeCpu(0), 0x86), std::nullopt);
}

TEST_F(InterruptGateTest, VectorsBeyondTheTableAreRefused) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.sregs.idt.limit = kVector * 16 + 14;
  EXPECT_EQ(Check(cpu, 0x8e), kRefused);
  cpu.sregs.idt.limit = kVector * 16 + 15;
  EXPECT_EQ(Check(cpu, 0x8e), std::nullopt);
}

TEST_F(InterruptGateTest, TableIsReadWithTheRightsOfTheProcessor) {
  Check(LongModeCpu(3), 0xee);
  EXPECT_EQ(memory_.last_accessor(), Accessor::kProcessor);
}

TEST_F(InterruptGateTest, TableThatIsNotThereIsAPageFault) {
  const GuestException page_fault{.vector = 14, .error_code = 0, .address = 0x9200};
  memory_.FailWith(page_fault);
  EXPECT_EQ(Check(LongModeCpu(), 0x8e), page_fault);
}

TEST_F(InterruptGateTest, RealModeHasNoRights) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.cr0 = 0;
  EXPECT_EQ(Check(cpu, 0), std::nullopt);
}

TEST_F(InterruptGateTest, WhatIsNotCompletedIsSaid) {
  EmulatedCpu cpu = ProtectedModeCpu(3);
  cpu.regs.rflags |= 1 << 17;
  EXPECT_THAT(CheckInterruptGate(kVector, cpu, memory_),
              StatusIs(absl::StatusCode::kUnimplemented, testing::HasSubstr("virtual-8086")));
  memory_.SetGate(kVector * 8, 0x85);
  EXPECT_THAT(CheckInterruptGate(kVector, ProtectedModeCpu(), memory_),
              StatusIs(absl::StatusCode::kUnimplemented, testing::HasSubstr("task gate")));
}

}  // namespace
}  // namespace vmwire
