// The run loop on the real KVM, with a few bytes of real-mode code as the guest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/kernel/kvm_run_fixture.h"
#include "vmm/exit_report.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Kind = RunOutcome::Kind;

constexpr uint64_t kReadOnlyPage = 32;

TEST_F(KvmRunTest, HaltEndsTheRun) { EXPECT_EQ(RunCode({0xf4}).kind, Kind::kHalted); }

TEST_F(KvmRunTest, GuestPrintsAndExitsWithItsCode) {
  const RunOutcome outcome = RunCode({
      0xba, 0xf8, 0x03,  // mov dx, 0x3f8
      0xb0, 'h', 0xee,   // mov al, 'h'; out dx, al
      0xb0, 'i', 0xee,   // mov al, 'i'; out dx, al
      0xba, 0x00, 0x05,  // mov dx, 0x500
      0xb0, 0x07, 0xee,  // mov al, 7; out dx, al
  });

  EXPECT_EQ(outcome.kind, Kind::kExited);
  EXPECT_EQ(outcome.code, 7u);
  EXPECT_EQ(printed_, "hi");
  EXPECT_EQ(stats_.exits.of(KVM_EXIT_IO), 3u);
}

TEST_F(KvmRunTest, PortInputReachesTheGuest) {
  const RunOutcome outcome = RunCode({
      0xba, 0xfd, 0x03,  // mov dx, 0x3fd
      0xec,              // in al, dx
      0xba, 0x00, 0x05,  // mov dx, 0x500
      0xee,              // out dx, al
  });

  EXPECT_EQ(outcome.code, 0x60u) << "the line status of an idle port";
}

TEST_F(KvmRunTest, StringOutputIsPrinted) {
  ASSERT_THAT(memory_.Write(GuestAddress(0x2000), std::as_bytes(std::span("string", 6))), IsOk());

  const RunOutcome outcome = RunCode({
      0xbe, 0x00, 0x20,  // mov si, 0x2000
      0xb9, 0x06, 0x00,  // mov cx, 6
      0xba, 0xf8, 0x03,  // mov dx, 0x3f8
      0xfc, 0xf3, 0x6e,  // cld; rep outsb
      0xf4,              // hlt
  });

  EXPECT_EQ(outcome.kind, Kind::kHalted) << outcome.report;
  EXPECT_EQ(printed_, "string");
}

TEST_F(KvmRunTest, WriteToReadOnlyMemoryIsDroppedAsMmio) {
  if (!vm_->has_read_only_slots()) GTEST_SKIP() << "this KVM has no KVM_CAP_READONLY_MEM";
  AddMemory(kReadOnlyPage, kReadOnlyPage + 1, Protection::kRead);

  const RunOutcome outcome = RunCode({
      0xb8, 0x00, 0x20,        // mov ax, 0x2000
      0x8e, 0xd8,              // mov ds, ax
      0xc6, 0x06, 0, 0, 0x55,  // mov byte [0], 0x55
      0xa0, 0x00, 0x00,        // mov al, [0]
      0xba, 0x00, 0x05,        // mov dx, 0x500
      0xee,                    // out dx, al
  });

  EXPECT_EQ(outcome.kind, Kind::kExited) << outcome.report;
  EXPECT_EQ(outcome.code, 0u);
  EXPECT_EQ(mmio_.absent_writes(), 1u);
}

TEST_F(KvmRunTest, ReadOfAbsentMemoryIsAllOnes) {
  const RunOutcome outcome = RunCode({
      0xb8, 0x00, 0x80,  // mov ax, 0x8000
      0x8e, 0xd8,        // mov ds, ax
      0xa0, 0x00, 0x00,  // mov al, [0]
      0xba, 0x00, 0x05,  // mov dx, 0x500
      0xee,              // out dx, al
  });

  EXPECT_EQ(outcome.code, 0xffu) << outcome.report;
  EXPECT_EQ(mmio_.absent_reads(), 1u);
}

// An IDT without an entry makes the first exception a double fault, and that a triple fault.
TEST_F(KvmRunTest, TripleFaultIsReported) {
  kvm_sregs sregs = vcpu_->GetSregs().value();
  sregs.cr0 |= 1;  // Protected mode: real mode of some KVMs does not look at the limit.
  sregs.idt.limit = 0;
  ASSERT_THAT(vcpu_->SetSregs(sregs), IsOk());

  const RunOutcome outcome = RunCode({0x0f, 0x0b});  // ud2

  EXPECT_EQ(outcome.kind, Kind::kShutdown) << outcome.report;
  EXPECT_THAT(outcome.report, AllOf(HasSubstr("triple fault"), HasSubstr("rip")));
}

TEST_F(KvmRunTest, StopOfAnotherThreadEndsAnEndlessGuest) {
  StopRequest stop;
  std::thread other([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.Stop(SIGTERM);
  });

  const RunOutcome outcome = RunCode({0xeb, 0xfe}, stop);  // jmp to itself

  other.join();
  EXPECT_EQ(outcome.kind, Kind::kInterrupted);
  EXPECT_EQ(outcome.code, static_cast<uint32_t>(SIGTERM));
}

TEST_F(KvmRunTest, StopAtAnyMomentEndsAnEndlessGuest) {
  for (int round = 0; round < 200; ++round) {
    StopRequest stop;
    std::thread other([&stop, round] {
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(round);
      while (std::chrono::steady_clock::now() < until) {
      }
      stop.Stop(0);
    });

    const RunOutcome outcome = RunCode({0xeb, 0xfe}, stop);

    other.join();
    ASSERT_EQ(outcome.kind, Kind::kInterrupted) << "in round " << round;
  }
}

TEST_F(KvmRunTest, CodeAtRipIsReadThroughKvm) {
  RunCode({0xf4, 0xb8, 0x34, 0x12});

  const kvm_regs regs = vcpu_->GetRegs().value();
  const kvm_sregs sregs = vcpu_->GetSregs().value();

  EXPECT_EQ(regs.rip, kCode + 1);
  EXPECT_THAT(DescribeCode(ReadCodeAtRip(*vcpu_, memory_, regs, sregs), regs, sregs),
              HasSubstr("mov ax, 0x1234"));
}

}  // namespace
}  // namespace vmwire
