// The run loop with instructions completed in KVM's stead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/fake_machine.h"
#include "vmm/run_loop.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using Kind = RunOutcome::Kind;

constexpr uint64_t kRip = 0x2000;

class RunLoopCompletionTest : public testing::Test {
 protected:
  // KVM gives up on `code`, of real mode, and the guest halts if it goes on.
  void GiveUpOn(const std::vector<uint8_t>& code) {
    machine_.Store(kRip, code);
    kvm_regs regs = {};
    regs.rip = kRip;
    regs.rsp = 0x8000;
    ASSERT_THAT(machine_.vcpu().SetRegs(regs), IsOk());
    ASSERT_THAT(machine_.vcpu().SetSregs({}), IsOk());
    machine_.kvm().Push([](std::span<std::byte>, kvm_run& run) {
      run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
      run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
      run.internal.ndata = 0;
      return 0;
    });
    machine_.kvm().PushExit(KVM_EXIT_HLT);
  }

  FakeMachine machine_;
  std::vector<std::string> lines_;
  ExitLatch exit_latch_;
  Bus ports_{"port I/O", kPortSpaceSize};
  Bus mmio_{"MMIO", kMmioSpaceSize};
  StopRequest stop_;
  RunLoop loop_{{.vcpu = machine_.vcpu(),
                 .ports = ports_,
                 .mmio = mmio_,
                 .exit_latch = exit_latch_,
                 .memory = machine_.memory(),
                 .complete_emulation = true,
                 .completed = [this](const std::string& line) { lines_.push_back(line); }},
                stop_};
};

TEST_F(RunLoopCompletionTest, GuestGoesOnBehindACompletedInstruction) {
  GiveUpOn({0x0f, 0x01, 0xca});  // clac

  EXPECT_EQ(loop_.Run().kind, Kind::kHalted);

  EXPECT_EQ(machine_.vcpu().GetRegs()->rip, kRip + 3);
  EXPECT_THAT(loop_.stats().completed, ElementsAre(Pair("clac", 1)));
  EXPECT_EQ(loop_.stats().exits.of(KVM_EXIT_INTERNAL_ERROR), 1u);
  EXPECT_THAT(lines_, ElementsAre("rip 0x2000: clac"));
}

TEST_F(RunLoopCompletionTest, RefusalEndsTheRunAndIsInTheReport) {
  GiveUpOn({0x0f, 0x01, 0xc1});  // vmcall

  const RunOutcome outcome = loop_.Run();

  EXPECT_EQ(outcome.kind, Kind::kInternalError);
  EXPECT_THAT(outcome.report,
              AllOf(HasSubstr("not completed in KVM's stead: vmcall is not completed"),
                    Not(HasSubstr("--complete-emulation"))));
  EXPECT_THAT(loop_.stats().completed, IsEmpty());
  EXPECT_EQ(machine_.kvm().steps_left(), 1u) << "the guest ran on";
}

}  // namespace
}  // namespace vmwire
