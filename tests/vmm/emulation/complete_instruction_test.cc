#include "vmm/emulation/complete_instruction.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/emulation/emulation_fixture.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

using CompleteInstructionTest = EmulationTest;

constexpr uint64_t kCr4OsXsave = 1 << 18;
constexpr uint64_t kAc = 1 << 18;
constexpr uint64_t kZf = 1 << 6;

const std::vector<uint8_t> kXgetbv = {0x0f, 0x01, 0xd0};
const std::vector<uint8_t> kClac = {0x0f, 0x01, 0xca};
const std::vector<uint8_t> kStac = {0x0f, 0x01, 0xcb};
const std::vector<uint8_t> kCmpxchg16b = {0x48, 0x0f, 0xc7, 0x0e};            // [rsi]
const std::vector<uint8_t> kLockCmpxchg16b = {0xf0, 0x48, 0x0f, 0xc7, 0x0e};  // lock, [rsi]
const std::vector<uint8_t> kMovbeLoad32 = {0x0f, 0x38, 0xf0, 0x06};           // eax, [rsi]
const std::vector<uint8_t> kMovbeLoad16 = {0x66, 0x0f, 0x38, 0xf0, 0x06};     // ax, [rsi]
const std::vector<uint8_t> kMovbeLoad64 = {0x4c, 0x0f, 0x38, 0xf0, 0x0e};     // r9, [rsi]
const std::vector<uint8_t> kMovbeStore64 = {0x48, 0x0f, 0x38, 0xf1, 0x06};    // [rsi], rax
const std::vector<uint8_t> kMovbeStore16 = {0x66, 0x0f, 0x38, 0xf1, 0x06};    // [rsi], ax

TEST_F(CompleteInstructionTest, OtherInstructionsAreLeftAlone) {
  EXPECT_THAT(Complete(LongModeCpu(), {0x90}),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("nop is not completed")));
}

TEST_F(CompleteInstructionTest, BytesThatAreNoInstructionAreLeftAlone) {
  EXPECT_THAT(Complete(LongModeCpu(), {}), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Complete(LongModeCpu(), {0x48}), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Complete(LongModeCpu(), {0xf0, 0x0f, 0x01, 0xca}),
              StatusIs(absl::StatusCode::kUnimplemented))
      << "lock clac";
}

TEST_F(CompleteInstructionTest, XgetbvGivesXcr0AndClearsTheUpperHalves) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.sregs.cr4 |= kCr4OsXsave;
  cpu.xcr0 = 0x80000000000000e7;
  cpu.regs.rax = cpu.regs.rdx = UINT64_MAX;

  const EmulationEffect effect = Do(cpu, kXgetbv);

  EXPECT_EQ(effect.mnemonic, "xgetbv");
  EXPECT_EQ(effect.regs.rax, 0xe7u);
  EXPECT_EQ(effect.regs.rdx, 0x80000000u);
}

TEST_F(CompleteInstructionTest, XgetbvOfXcr1SaysThatAllIsInUse) {
  EmulatedCpu cpu = LongModeCpu(3);
  cpu.sregs.cr4 |= kCr4OsXsave;
  cpu.xcr0 = 7;
  cpu.regs.rcx = 0xffffffff00000001;
  EXPECT_EQ(Do(cpu, kXgetbv).regs.rax, 7u);
}

TEST_F(CompleteInstructionTest, XgetbvFaultsAsTheCpuSays) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.xcr0 = 7;
  EXPECT_EQ(Fault(cpu, kXgetbv), kUd) << "OSXSAVE is off";
  cpu.sregs.cr4 |= kCr4OsXsave;
  cpu.regs.rcx = 2;
  EXPECT_EQ(Fault(cpu, kXgetbv), kGp0) << "there is no XCR2";
}

TEST_F(CompleteInstructionTest, XgetbvIsLeftAloneWhereKvmDoesNotSay) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.sregs.cr4 |= kCr4OsXsave;
  EXPECT_THAT(Complete(cpu, kXgetbv), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(CompleteInstructionTest, StacAndClacChangeTheFlagOnly) {
  EmulatedCpu cpu = LongModeCpu();
  EXPECT_EQ(Do(cpu, kStac).regs.rflags, kTestFlags | kAc);
  cpu.regs.rflags |= kAc;
  EXPECT_EQ(Do(cpu, kClac).regs.rflags, kTestFlags);
}

TEST_F(CompleteInstructionTest, StacAndClacAreInvalidOutsideRing0) {
  EXPECT_EQ(Fault(LongModeCpu(3), kStac), kUd);
  EXPECT_EQ(Fault(LongModeCpu(3), kClac), kUd);
}

TEST_F(CompleteInstructionTest, ResumeFlagIsClearedByAnInstruction) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.regs.rflags |= 0x10000;
  EXPECT_EQ(Do(cpu, kClac).regs.rflags, kTestFlags);
}

EmulatedCpu ExchangingCpu() {
  EmulatedCpu cpu = LongModeCpu();
  cpu.regs.rsi = 0x2010;
  cpu.regs.rax = 0x1111;
  cpu.regs.rdx = 0x2222;
  cpu.regs.rbx = 0x3333;
  cpu.regs.rcx = 0x4444;
  return cpu;
}

TEST_F(CompleteInstructionTest, Cmpxchg16bStoresIfEqual) {
  const EmulatedCpu cpu = ExchangingCpu();
  memory_.Store(0x2010, 0x1111, 8);
  memory_.Store(0x2018, 0x2222, 8);

  const EmulationEffect effect = Do(cpu, kCmpxchg16b);

  EXPECT_EQ(effect.regs.rflags, kTestFlags | kZf);
  EXPECT_EQ(memory_.Load(0x2010, 8), 0x3333u);
  EXPECT_EQ(memory_.Load(0x2018, 8), 0x4444u);
  EXPECT_EQ(effect.regs.rax, 0x1111u);
  EXPECT_EQ(effect.regs.rdx, 0x2222u);
}

TEST_F(CompleteInstructionTest, Cmpxchg16bLoadsIfNotEqual) {
  EmulatedCpu cpu = ExchangingCpu();
  cpu.regs.rflags |= kZf;
  memory_.Store(0x2010, 0x1111, 8);
  memory_.Store(0x2018, 0x9999, 8);

  const EmulationEffect effect = Do(cpu, kLockCmpxchg16b);

  EXPECT_EQ(effect.regs.rflags, kTestFlags);
  EXPECT_EQ(effect.regs.rax, 0x1111u);
  EXPECT_EQ(effect.regs.rdx, 0x9999u);
  EXPECT_EQ(memory_.Load(0x2010, 8), 0x1111u);
}

TEST_F(CompleteInstructionTest, Cmpxchg16bWantsAnAlignedAddress) {
  EmulatedCpu cpu = ExchangingCpu();
  cpu.regs.rsi = 0x2008;
  EXPECT_EQ(Fault(cpu, kCmpxchg16b), kGp0);
}

TEST_F(CompleteInstructionTest, PageFaultsArePassedOn) {
  const GuestException page_fault{.vector = 14, .error_code = 2, .address = 0x2010};
  memory_.FailWith(page_fault);
  EXPECT_EQ(Fault(ExchangingCpu(), kCmpxchg16b), page_fault);
  EXPECT_EQ(Fault(ExchangingCpu(), kMovbeLoad32), page_fault);
  EXPECT_EQ(Fault(ExchangingCpu(), kMovbeStore64), page_fault);
}

TEST_F(CompleteInstructionTest, MovbeLoadsReversedBytes) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.regs.rsi = 0x3001;
  cpu.regs.rax = UINT64_MAX;
  memory_.Store(0x3001, 0x8877665544332211, 8);

  EXPECT_EQ(Do(cpu, kMovbeLoad16).regs.rax, 0xffffffffffff1122u) << "the rest stays";
  EXPECT_EQ(Do(cpu, kMovbeLoad32).regs.rax, 0x11223344u) << "the upper half is cleared";
  EXPECT_EQ(Do(cpu, kMovbeLoad64).regs.r9, 0x1122334455667788u);
}

TEST_F(CompleteInstructionTest, MovbeStoresReversedBytes) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.regs.rsi = 0x3001;
  cpu.regs.rax = 0x1122334455667788;

  Do(cpu, kMovbeStore64);
  EXPECT_EQ(memory_.Load(0x3001, 8), 0x8877665544332211u);
  Do(cpu, kMovbeStore16);
  EXPECT_EQ(memory_.Load(0x3001, 8), 0x8877665544338877u) << "no more than 16 bits";
}

TEST_F(CompleteInstructionTest, Int3GoesThroughItsGate) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.sregs.idt.base = 0x8000;
  memory_.SetGate(0x8000 + 3 * 16, 0x8e);

  const EmulationEffect effect = Do(cpu, {0xcc});

  EXPECT_EQ(effect.mnemonic, "int3");
  EXPECT_EQ(effect.interrupt, 3);
}

TEST_F(CompleteInstructionTest, IntNamesItsVector) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.sregs.idt.base = 0x8000;
  memory_.SetGate(0x8000 + 0x80 * 16, 0x8f);
  EXPECT_EQ(Do(cpu, {0xcd, 0x80}).interrupt, 0x80);
}

TEST_F(CompleteInstructionTest, IntWithoutGateFaults) {
  EXPECT_EQ(Fault(LongModeCpu(), {0xcd, 0x80}),
            (GuestException{.vector = 13, .error_code = 0x80 * 8 + 2}));
}

TEST_F(CompleteInstructionTest, RipWrapsWithTheCodeSegment) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.cr4 |= kCr4OsXsave;
  cpu.xcr0 = 1;
  cpu.regs.rip = 0xffffffff;
  EXPECT_EQ(Complete(cpu, kXgetbv)->regs.rip, 2u);
  cpu.sregs.cs.db = 0;
  cpu.regs.rip = 0xffff;
  EXPECT_EQ(Complete(cpu, kXgetbv)->regs.rip, 2u);
}

}  // namespace
}  // namespace vmwire
