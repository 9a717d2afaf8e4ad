#include "vmm/exit_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/vmm/fake_machine.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

class ExitReportTest : public testing::Test {
 protected:
  std::string State() { return DescribeState(machine_.vcpu(), machine_.memory()); }
  std::string Death() { return DescribeDeath(machine_.vcpu(), machine_.memory(), {}); }

  // KVM gave up on INT3, and says so, where memory has HLT by now.
  void GiveUpOnInt3() {
    machine_.StartLongMode(0x2000);
    machine_.Store(0x2000, {0xf4});
    kvm_run& run = machine_.vcpu().run();
    run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run.emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run.emulation_failure.ndata = 3;
    run.emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
    run.emulation_failure.insn_size = 1;
    run.emulation_failure.insn_bytes[0] = 0xcc;
  }

  FakeMachine machine_;
};

TEST_F(ExitReportTest, RegistersAreNamedInHex) {
  kvm_regs regs = {};
  regs.rip = 0x1234;
  regs.r15 = 0xfeedface;
  kvm_sregs sregs = {};
  sregs.cr2 = 0xdead000;
  sregs.cs.selector = 0x33;

  EXPECT_THAT(RegisterTable(regs, sregs),
              AllOf(HasSubstr("rip 0000000000001234"), HasSubstr("r15 00000000feedface"),
                    HasSubstr("cr2 000000000dead000"), HasSubstr("cs  0033")));
}

TEST_F(ExitReportTest, CodeWidthFollowsModeAndSegment) {
  kvm_sregs sregs = {};
  sregs.cs.db = 1;
  EXPECT_EQ(CodeWidthOf(sregs), CodeWidth::k16) << "real mode";
  sregs.cr0 = 1;
  EXPECT_EQ(CodeWidthOf(sregs), CodeWidth::k32);
  sregs.cs.db = 0;
  EXPECT_EQ(CodeWidthOf(sregs), CodeWidth::k16);
  sregs.cs.l = 1;
  EXPECT_EQ(CodeWidthOf(sregs), CodeWidth::k16) << "L means nothing outside long mode";
  sregs.efer = 0x500;
  EXPECT_EQ(CodeWidthOf(sregs), CodeWidth::k64);
}

TEST_F(ExitReportTest, CodeAtRipIsReadAndDisassembled) {
  machine_.StartLongMode(0x2000);
  machine_.Store(0x2000, {0x0f, 0x01, 0xc1});

  EXPECT_THAT(State(), AllOf(HasSubstr("code at 0x2000 (64-bit): 0f 01 c1 00"),
                             HasSubstr("\n    vmcall\n")));
}

TEST_F(ExitReportTest, RealModeCodeIsAtTheSegmentBase) {
  kvm_regs regs = {};
  regs.rip = 0x10;
  kvm_sregs sregs = {};
  sregs.cs.base = 0x3000;
  ASSERT_TRUE(machine_.vcpu().SetRegs(regs).ok());
  ASSERT_TRUE(machine_.vcpu().SetSregs(sregs).ok());
  machine_.Store(0x3010, {0xb8, 0x34, 0x12});

  EXPECT_THAT(State(), AllOf(HasSubstr("code at 0x3010 (16-bit)"), HasSubstr("mov ax, 0x1234")));
}

TEST_F(ExitReportTest, CodeAcrossPagesIsTranslatedPageByPage) {
  machine_.StartLongMode(0x1ffe);
  machine_.kvm().SetTranslation(0x2000, 0x5000);
  machine_.Store(0x1ffe, {0x0f, 0x01});
  machine_.Store(0x5000, {0xc1});

  EXPECT_THAT(State(), HasSubstr("\n    vmcall\n"));
}

TEST_F(ExitReportTest, CodeEndsWhereTheGuestMapsNothing) {
  machine_.StartLongMode(0x1ffe);
  machine_.kvm().SetTranslation(0x2000, std::nullopt);
  const auto regs = machine_.vcpu().GetRegs();
  const auto sregs = machine_.vcpu().GetSregs();

  EXPECT_THAT(ReadCodeAtRip(machine_.vcpu(), machine_.memory(), *regs, *sregs), SizeIs(2));
}

TEST_F(ExitReportTest, CodeOutsideMemoryIsSaidToBeUnreadable) {
  machine_.StartLongMode(kFakeMemoryPages * kPageSize);

  EXPECT_THAT(State(), HasSubstr("code at 0x10000: cannot be read"));
}

TEST_F(ExitReportTest, RipAtTheEndOfTheAddressSpaceIsSurvived) {
  machine_.StartLongMode(UINT64_MAX);

  EXPECT_THAT(State(), HasSubstr("cannot be read"));
}

TEST_F(ExitReportTest, BytesThatKvmGivesWithADeathArePreferred) {
  GiveUpOnInt3();

  EXPECT_THAT(Death(), AllOf(HasSubstr("(64-bit): cc\n"), HasSubstr("\n    int3\n")));
}

TEST_F(ExitReportTest, BytesThatKvmDoesNotMarkAreIgnored) {
  GiveUpOnInt3();
  machine_.vcpu().run().emulation_failure.flags = 0;

  EXPECT_THAT(Death(), HasSubstr("\n    hlt\n"));
}

// The vCPU may have run on: its instruction was completed, and no exit came after that.
TEST_F(ExitReportTest, BytesThatKvmGaveOnceAreNotThoseOfACpuThatWasStopped) {
  GiveUpOnInt3();

  EXPECT_THAT(DescribeStopped(machine_.vcpu(), machine_.memory(), {}), HasSubstr("\n    hlt\n"));
  EXPECT_THAT(State(), HasSubstr("\n    hlt\n"));
}

TEST_F(ExitReportTest, RefusalToCompleteAnInstructionIsInTheLikelyCause) {
  GiveUpOnInt3();

  EXPECT_THAT(DescribeDeath(machine_.vcpu(), machine_.memory(), {}, std::nullopt, "no stack"),
              Not(HasSubstr("no stack")))
      << "RIP is not mapped, which comes first";

  kvm_sregs real_mode = {};
  ASSERT_TRUE(machine_.vcpu().SetSregs(real_mode).ok());
  EXPECT_THAT(DescribeDeath(machine_.vcpu(), machine_.memory(), {}, std::nullopt, "no stack"),
              HasSubstr("cannot emulate 'int3' at CPL 0"));
  EXPECT_THAT(DescribeDeath(machine_.vcpu(), machine_.memory(), {}, std::nullopt, "no stack"),
              HasSubstr("; not completed in KVM's stead: no stack\n"));
}

TEST_F(ExitReportTest, RegistersThatCannotBeReadAreSaidToBeSo) {
  machine_.journal().FailNth(1, EIO);

  EXPECT_THAT(State(), HasSubstr("registers cannot be read"));
}

TEST_F(ExitReportTest, ReasonsAreDescribedWithTheirData) {
  kvm_run& run = machine_.vcpu().run();
  run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
  run.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
  run.internal.ndata = 1;
  run.internal.data[0] = 0xabc;
  EXPECT_EQ(DescribeReason(run), "KVM_EXIT_INTERNAL_ERROR: delivery of an event, data 0xabc");

  run.internal.ndata = 1000;  // More than there is room for.
  EXPECT_THAT(DescribeReason(run), Not(HasSubstr("0x1000")));

  run.exit_reason = KVM_EXIT_FAIL_ENTRY;
  run.fail_entry.hardware_entry_failure_reason = 0x80000021;
  run.fail_entry.cpu = 3;
  EXPECT_EQ(DescribeReason(run),
            "KVM_EXIT_FAIL_ENTRY: hardware entry failure reason 0x80000021 on CPU 3");
}

TEST_F(ExitReportTest, DeathHasReasonCauseStateWalksAndHistory) {
  machine_.StartLongMode(0x2000);
  kvm_run& run = machine_.vcpu().run();
  run.exit_reason = KVM_EXIT_SHUTDOWN;
  ExitHistory history;
  history.Add(run, machine_.vcpu().run_bytes());

  const std::string report = DescribeDeath(machine_.vcpu(), machine_.memory(), history);

  EXPECT_THAT(
      report,
      StartsWith("KVM_EXIT_SHUTDOWN: the guest had a triple fault\nlikely cause: RIP 0x2000 "
                 "is not mapped"));
  EXPECT_THAT(report,
              AllOf(HasSubstr("  rip 0000000000002000"), HasSubstr("  code at 0x2000 (64-bit)"),
                    HasSubstr("  page walk of RIP 0x2000 ("), HasSubstr("  page walk of RSP 0x0 ("),
                    HasSubstr("  page walk of the next push 0xfffffffffffffff8"),
                    HasSubstr("  last exits, of 1:\n    1  KVM_EXIT_SHUTDOWN\n")));
}

TEST_F(ExitReportTest, CpuOfAMachineWithSeveralIsNamed) {
  EXPECT_THAT(DescribeDeath(machine_.vcpu(), machine_.memory(), {}, 3), StartsWith("CPU 3: KVM_"));
  EXPECT_THAT(DescribeStopped(machine_.vcpu(), machine_.memory(), {}, 0),
              StartsWith("CPU 0: stopped\n"));
}

TEST_F(ExitReportTest, StoppedCpuThatHaltedIsSaidToHaveHalted) {
  kvm_regs regs = {};
  regs.rip = 0x3001;
  ASSERT_TRUE(machine_.vcpu().SetRegs(regs).ok());
  machine_.Store(0x3000, {0xf4, 0xeb, 0xfe});

  EXPECT_THAT(DescribeStopped(machine_.vcpu(), machine_.memory(), {}),
              AllOf(StartsWith("stopped\nlikely cause: halted with interrupts off"),
                    HasSubstr("  no exits\n")));
}

TEST_F(ExitReportTest, DeathWhoseRegistersCannotBeReadStillHasItsHistory) {
  machine_.journal().FailNth(1, EIO);

  EXPECT_THAT(DescribeDeath(machine_.vcpu(), machine_.memory(), {}),
              AllOf(HasSubstr("registers"), HasSubstr("no exits")));
}

}  // namespace
}  // namespace vmwire
