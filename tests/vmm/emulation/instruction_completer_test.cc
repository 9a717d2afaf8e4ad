#include "vmm/emulation/instruction_completer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/vmm/fake_machine.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr uint64_t kRip = 0x2000;
constexpr uint64_t kIdt = 0x8000;

class InstructionCompleterTest : public testing::Test {
 protected:
  // A CPU at CPL 0 whose page tables map the first 2 MiB one to one, at `code`, on which KVM gave
  // up.
  void GiveUpOn(const std::vector<uint8_t>& code) {
    machine_.StartLongMode(kRip);
    machine_.Store(kRip, code);
    machine_.Store(0x4000, {0x03, 0x50});
    machine_.Store(0x5000, {0x03, 0x60});
    machine_.Store(0x6000, {0x83});
    kvm_sregs sregs = machine_.vcpu().GetSregs().value();
    sregs.cr3 = 0x4000;
    sregs.cr4 = 1 << 5 | 1 << 18;
    sregs.idt.base = kIdt;
    sregs.idt.limit = 0xfff;
    ASSERT_THAT(machine_.vcpu().SetSregs(sregs), IsOk());
    kvm_run& run = machine_.vcpu().run();
    run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
  }
  // CMPXCHG16B of memory that is not there.
  void GiveUpOnBadExchange() {
    GiveUpOn({0x48, 0x0f, 0xc7, 0x0e});
    SetRegister(&kvm_regs::rsi, 0x7000000010);
  }
  static kvm_vcpu_events InterruptUnderWay() {
    kvm_vcpu_events events = {};
    events.interrupt.injected = 1;
    events.interrupt.nr = 0x30;
    return events;
  }
  void SetRegister(__u64 kvm_regs::*name, uint64_t value) {
    kvm_regs regs = machine_.vcpu().GetRegs().value();
    regs.*name = value;
    ASSERT_THAT(machine_.vcpu().SetRegs(regs), IsOk());
  }
  kvm_regs regs() { return machine_.vcpu().GetRegs().value(); }
  kvm_vcpu_events events() { return machine_.vcpu().GetVcpuEvents().value(); }

  FakeMachine machine_;
  std::vector<std::string> lines_;
  InstructionCompleter completer_{machine_.vcpu(), machine_.memory(),
                                  [this](const std::string& line) { lines_.push_back(line); }};
};

TEST_F(InstructionCompleterTest, RegistersAreSetAndTheInstructionIsCounted) {
  GiveUpOn({0x0f, 0x01, 0xd0});
  SetRegister(&kvm_regs::rdx, 5);

  EXPECT_TRUE(completer_.TryComplete()) << completer_.refusal();

  EXPECT_EQ(regs().rip, kRip + 3);
  EXPECT_EQ(regs().rax, 1u) << "XCR0 of the fake";
  EXPECT_EQ(regs().rdx, 0u);
  EXPECT_THAT(completer_.counts(), ElementsAre(Pair("xgetbv", 1)));
  EXPECT_THAT(lines_, ElementsAre("rip 0x2000: xgetbv"));
}

TEST_F(InstructionCompleterTest, ExceptionThatKvmQueuedIsTakenBack) {
  GiveUpOn({0x0f, 0x01, 0xca});
  kvm_vcpu_events queued = {};
  queued.exception.injected = 1;
  queued.exception.nr = 6;
  queued.interrupt.shadow = 1;
  queued.flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
  ASSERT_THAT(machine_.vcpu().SetVcpuEvents(queued), IsOk());

  EXPECT_TRUE(completer_.TryComplete());

  EXPECT_EQ(events().exception.injected, 0);
  EXPECT_EQ(events().interrupt.shadow, 0);
  EXPECT_EQ(events().flags, static_cast<uint32_t>(KVM_VCPUEVENT_VALID_SHADOW));
}

TEST_F(InstructionCompleterTest, SoftwareInterruptIsInjectedBehindTheInstruction) {
  GiveUpOn({0xcc});
  machine_.Store(kIdt + 3 * 16 + 5, {0x8e});

  EXPECT_TRUE(completer_.TryComplete()) << completer_.refusal();

  EXPECT_EQ(regs().rip, kRip + 1);
  EXPECT_EQ(events().interrupt.injected, 1);
  EXPECT_EQ(events().interrupt.nr, 3);
  EXPECT_EQ(events().interrupt.soft, 0);
  EXPECT_EQ(events().exception.injected, 0);
}

TEST_F(InstructionCompleterTest, InterruptUnderWayGoesFirst) {
  GiveUpOn({0xcc});
  machine_.Store(kIdt + 3 * 16 + 5, {0x8e});
  kvm_vcpu_events queued = InterruptUnderWay();
  queued.exception.injected = 1;
  queued.exception.nr = 6;
  ASSERT_THAT(machine_.vcpu().SetVcpuEvents(queued), IsOk());

  EXPECT_TRUE(completer_.TryComplete());

  EXPECT_EQ(regs().rip, kRip) << "the guest comes back to it";
  EXPECT_EQ(events().interrupt.injected, 1);
  EXPECT_EQ(events().interrupt.nr, 0x30);
  EXPECT_EQ(events().exception.injected, 0) << "KVM's #UD";
  EXPECT_TRUE(completer_.counts().empty());
}

TEST_F(InstructionCompleterTest, NmiUnderWayGoesBeforeASoftwareInterrupt) {
  GiveUpOn({0xcc});
  machine_.Store(kIdt + 3 * 16 + 5, {0x8e});
  kvm_vcpu_events queued = {};
  queued.nmi.injected = 1;
  ASSERT_THAT(machine_.vcpu().SetVcpuEvents(queued), IsOk());

  EXPECT_TRUE(completer_.TryComplete());

  EXPECT_EQ(regs().rip, kRip);
  EXPECT_EQ(events().nmi.injected, 1);
  EXPECT_EQ(events().interrupt.injected, 0);
}

TEST_F(InstructionCompleterTest, InterruptUnderWayGoesBeforeAFault) {
  GiveUpOnBadExchange();
  ASSERT_THAT(machine_.vcpu().SetVcpuEvents(InterruptUnderWay()), IsOk());
  const uint64_t flags = regs().rflags;

  EXPECT_TRUE(completer_.TryComplete()) << completer_.refusal();

  EXPECT_EQ(regs().rip, kRip);
  EXPECT_EQ(regs().rflags, flags) << "no RF: nothing was delivered";
  EXPECT_EQ(machine_.vcpu().GetSregs()->cr2, 0u);
  EXPECT_EQ(events().interrupt.injected, 1);
  EXPECT_EQ(events().exception.injected, 0);
  EXPECT_TRUE(completer_.counts().empty());
}

TEST_F(InstructionCompleterTest, FaultThatWasPutOffIsRaisedOnceTheInterruptIsDelivered) {
  GiveUpOnBadExchange();
  ASSERT_THAT(machine_.vcpu().SetVcpuEvents(InterruptUnderWay()), IsOk());
  ASSERT_TRUE(completer_.TryComplete());
  ASSERT_THAT(machine_.vcpu().SetVcpuEvents({}), IsOk());  // KVM delivers it; the guest returns.

  EXPECT_TRUE(completer_.TryComplete());

  EXPECT_EQ(events().exception.injected, 1);
  EXPECT_EQ(events().exception.nr, 14);
  EXPECT_EQ(machine_.vcpu().GetSregs()->cr2, 0x7000000010u);
  EXPECT_THAT(completer_.counts(), ElementsAre(Pair("cmpxchg16b", 1)));
}

TEST_F(InstructionCompleterTest, InstructionWithoutAnEventIsDoneThoughAnInterruptIsUnderWay) {
  GiveUpOn({0x0f, 0x01, 0xca});
  ASSERT_THAT(machine_.vcpu().SetVcpuEvents(InterruptUnderWay()), IsOk());

  EXPECT_TRUE(completer_.TryComplete());

  EXPECT_EQ(regs().rip, kRip + 3);
  EXPECT_EQ(events().interrupt.injected, 1);
  EXPECT_EQ(events().interrupt.nr, 0x30);
}

TEST_F(InstructionCompleterTest, FaultIsInjectedWithItsErrorCode) {
  GiveUpOn({0xcd, 0x40});

  EXPECT_TRUE(completer_.TryComplete()) << completer_.refusal();

  EXPECT_EQ(regs().rip, kRip);
  EXPECT_EQ(events().exception.injected, 1);
  EXPECT_EQ(events().exception.nr, 13);
  EXPECT_EQ(events().exception.has_error_code, 1);
  EXPECT_EQ(events().exception.error_code, 0x40u * 8 + 2);
  EXPECT_THAT(lines_, ElementsAre("rip 0x2000: int (exception 13)"));
}

TEST_F(InstructionCompleterTest, FaultWithoutErrorCodeHasNone) {
  GiveUpOn({0x0f, 0x01, 0xca});
  kvm_sregs sregs = machine_.vcpu().GetSregs().value();
  sregs.ss.dpl = 3;
  ASSERT_THAT(machine_.vcpu().SetSregs(sregs), IsOk());

  EXPECT_TRUE(completer_.TryComplete());

  EXPECT_EQ(events().exception.nr, 6);
  EXPECT_EQ(events().exception.has_error_code, 0);
}

TEST_F(InstructionCompleterTest, PageFaultSetsCr2) {
  GiveUpOnBadExchange();

  EXPECT_TRUE(completer_.TryComplete()) << completer_.refusal();

  EXPECT_EQ(machine_.vcpu().GetSregs()->cr2, 0x7000000010u);
  EXPECT_EQ(events().exception.nr, 14);
  EXPECT_EQ(events().exception.error_code, 2u);
}

TEST_F(InstructionCompleterTest, MemoryIsExchanged) {
  GiveUpOn({0xf0, 0x48, 0x0f, 0xc7, 0x0e});
  SetRegister(&kvm_regs::rsi, 0x9000);
  SetRegister(&kvm_regs::rbx, 0x77);

  EXPECT_TRUE(completer_.TryComplete()) << completer_.refusal();

  EXPECT_EQ(machine_.memory().Load<uint64_t>(GuestAddress(0x9000)).value(), 0x77u);
  EXPECT_EQ(regs().rflags & 0x40, 0x40u);
}

TEST_F(InstructionCompleterTest, OtherInstructionsLeaveTheCpuAsItWas) {
  GiveUpOn({0x90});

  EXPECT_FALSE(completer_.TryComplete());

  EXPECT_THAT(completer_.refusal(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("nop")));
  EXPECT_EQ(regs().rip, kRip);
  EXPECT_TRUE(completer_.counts().empty());
  EXPECT_TRUE(lines_.empty());
}

TEST_F(InstructionCompleterTest, OtherExitsAreNotTouched) {
  GiveUpOn({0x0f, 0x01, 0xd0});
  machine_.vcpu().run().internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
  EXPECT_FALSE(completer_.TryComplete());
  machine_.vcpu().run().exit_reason = KVM_EXIT_HLT;
  EXPECT_FALSE(completer_.TryComplete());
  EXPECT_EQ(regs().rip, kRip);
}

// Each call that this makes of KVM fails in turn, but for KVM_GET_XCRS, without which it goes on.
TEST_F(InstructionCompleterTest, CallOfKvmThatFailsIsARefusalAndLeavesTheCpuAsItWas) {
  kvm_vcpu_events queued = {};
  queued.exception.injected = 1;
  queued.exception.nr = 6;
  int refusals = 0;
  for (uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(nth);
    GiveUpOnBadExchange();
    ASSERT_THAT(machine_.vcpu().SetVcpuEvents(queued), IsOk());
    const kvm_regs before = regs();
    machine_.journal().FailNth(nth, EIO);
    const bool completed = completer_.TryComplete();
    const bool called = machine_.journal().failed();
    machine_.journal().FailNth(0, 0);
    if (!called) break;
    if (completed) continue;
    ++refusals;
    EXPECT_FALSE(completer_.refusal().ok());
    EXPECT_EQ(regs().rflags, before.rflags);
    EXPECT_EQ(regs().rip, before.rip);
    EXPECT_EQ(machine_.vcpu().GetSregs()->cr2, 0u);
    EXPECT_EQ(events().exception.injected, 1);
    EXPECT_EQ(events().exception.nr, 6);
  }
  EXPECT_EQ(refusals, 7) << "registers, sregs and events read, RIP translated, the three set";
}

}  // namespace
}  // namespace vmwire
