// Which linear address a memory operand means, seen by where MOVBE reads.
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/emulation/emulation_fixture.h"

namespace vmwire {
namespace {

class LinearAddressTest : public EmulationTest {
 protected:
  // True if `code`, a MOVBE to EAX, reads at `linear`.
  bool ReadsAt(const EmulatedCpu& cpu, const std::vector<uint8_t>& code, uint64_t linear) {
    memory_.Store(linear, 0x44332211, 4);
    const EmulationEffect effect = Do(cpu, code);
    memory_.Store(linear, 0, 4);
    return effect.regs.rax == 0x11223344;
  }
};

TEST_F(LinearAddressTest, BaseIndexScaleAndDisplacementAdd) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.regs.rbx = 0x10000;
  cpu.regs.r12 = 0x100;
  // movbe eax, [rbx + r12*8 - 16]
  EXPECT_TRUE(ReadsAt(cpu, {0x42, 0x0f, 0x38, 0xf0, 0x44, 0xe3, 0xf0}, 0x107f0));
}

TEST_F(LinearAddressTest, RelativeToTheNextInstruction) {
  // movbe eax, [rip + 0x100]
  EXPECT_TRUE(ReadsAt(LongModeCpu(), {0x0f, 0x38, 0xf0, 0x05, 0x00, 0x01, 0x00, 0x00},
                      kTestRip + 8 + 0x100));
}

TEST_F(LinearAddressTest, AddressSizeOf32BitsWraps) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.regs.rsi = 0xabcd'ffff'fff0;
  // movbe eax, [esi + 0x20]
  EXPECT_TRUE(ReadsAt(cpu, {0x67, 0x0f, 0x38, 0xf0, 0x46, 0x20}, 0x10));
}

TEST_F(LinearAddressTest, OnlyFsAndGsHaveABaseIn64BitMode) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.sregs.gs.base = 0xffff'8880'0000'0000;
  cpu.sregs.ds.base = cpu.sregs.es.base = 0x5000;
  cpu.regs.rsi = 0x40;
  EXPECT_TRUE(ReadsAt(cpu, {0x65, 0x0f, 0x38, 0xf0, 0x06}, 0xffff'8880'0000'0040)) << "gs:[rsi]";
  EXPECT_TRUE(ReadsAt(cpu, {0x26, 0x0f, 0x38, 0xf0, 0x06}, 0x40)) << "es:[rsi]";
}

TEST_F(LinearAddressTest, AddressesThatAreNotCanonicalFault) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.regs.rsi = cpu.regs.rsp = 0x0000'8000'0000'0000;
  EXPECT_EQ(Fault(cpu, {0x0f, 0x38, 0xf0, 0x06}), kGp0);
  EXPECT_EQ(Fault(cpu, {0x0f, 0x38, 0xf0, 0x04, 0x24}), kSs0) << "the stack segment";
  cpu.regs.rsi -= 3;
  EXPECT_EQ(Fault(cpu, {0x0f, 0x38, 0xf0, 0x06}), kGp0) << "its last byte";
  cpu.sregs.cr4 |= 1 << 12;
  EXPECT_TRUE(ReadsAt(cpu, {0x0f, 0x38, 0xf0, 0x06}, cpu.regs.rsi)) << "57 bits";
}

TEST_F(LinearAddressTest, SegmentBasesCountInProtectedMode) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.ds.base = 0xfffff000;
  cpu.regs.rsi = 0x3000;
  EXPECT_TRUE(ReadsAt(cpu, {0x0f, 0x38, 0xf0, 0x06}, 0x2000)) << "and wrap";
}

TEST_F(LinearAddressTest, SegmentLimitsCountInProtectedMode) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.ds.limit = 0xfff;
  cpu.regs.rsi = 0xffc;
  EXPECT_TRUE(ReadsAt(cpu, {0x0f, 0x38, 0xf0, 0x06}, 0xffc));
  cpu.regs.rsi = 0xffd;
  EXPECT_EQ(Fault(cpu, {0x0f, 0x38, 0xf0, 0x06}), kGp0);
  cpu.sregs.ds.unusable = 1;
  cpu.regs.rsi = 0;
  EXPECT_EQ(Fault(cpu, {0x0f, 0x38, 0xf0, 0x06}), kGp0) << "a null selector";
}

TEST_F(LinearAddressTest, SegmentTypesAllowReadsAndWritesInProtectedMode) {
  const std::vector<uint8_t> load = {0x0f, 0x38, 0xf0, 0x06};
  const std::vector<uint8_t> store = {0x0f, 0x38, 0xf1, 0x06};
  const std::vector<uint8_t> load_code = {0x2e, 0x0f, 0x38, 0xf0, 0x06};
  const std::vector<uint8_t> store_code = {0x2e, 0x0f, 0x38, 0xf1, 0x06};
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.regs.rsi = 0x40;
  Do(cpu, store);
  EXPECT_TRUE(ReadsAt(cpu, load_code, 0x40)) << "code that may be read";
  EXPECT_EQ(Fault(cpu, store_code), kGp0);
  cpu.sregs.ds.type = 1;
  EXPECT_TRUE(ReadsAt(cpu, load, 0x40)) << "data that may only be read";
  EXPECT_EQ(Fault(cpu, store), kGp0);
  cpu.sregs.cs.type = 9;
  EXPECT_EQ(Fault(cpu, load_code), kGp0) << "code that may only be executed";
}

TEST_F(LinearAddressTest, WriteThroughAStackSegmentThatForbidsItIsNoStackFault) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.ss.type = 1;
  EXPECT_EQ(Fault(cpu, {0x36, 0x0f, 0x38, 0xf1, 0x06}), kGp0);
}

TEST_F(LinearAddressTest, SegmentTypesMeanNothingInRealAndVirtual8086Mode) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.cs.db = 0;
  cpu.regs.rbx = 0x40;
  // movbe cs:[bx], eax
  const std::vector<uint8_t> store_code = {0x2e, 0x66, 0x0f, 0x38, 0xf1, 0x07};
  EXPECT_EQ(Fault(cpu, store_code), kGp0);
  cpu.regs.rflags |= 1 << 17;
  Do(cpu, store_code);
  cpu.regs.rflags = kTestFlags;
  cpu.sregs.cr0 = 0;
  Do(cpu, store_code);
}

TEST_F(LinearAddressTest, SegmentTypesMeanNothingIn64BitMode) {
  EmulatedCpu cpu = LongModeCpu();
  cpu.sregs.ds.type = 1;
  Do(cpu, {0x0f, 0x38, 0xf1, 0x06});
}

TEST_F(LinearAddressTest, SixteenBitAddressing) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.cs.db = 0;
  cpu.regs.rbx = 0xff00;
  cpu.regs.rsi = 0x0200;
  // movbe eax, [bx + si], with the operand size of 32 bits
  EXPECT_TRUE(ReadsAt(cpu, {0x66, 0x0f, 0x38, 0xf0, 0x00}, 0x100));
}

TEST_F(LinearAddressTest, SegmentsThatGrowDownAreLeftAlone) {
  EmulatedCpu cpu = ProtectedModeCpu();
  cpu.sregs.ds.type = 7;
  EXPECT_THAT(Complete(cpu, {0x0f, 0x38, 0xf0, 0x06}), StatusIs(absl::StatusCode::kUnimplemented));
}

}  // namespace
}  // namespace vmwire
