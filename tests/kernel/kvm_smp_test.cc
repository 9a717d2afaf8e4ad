// Two vCPUs on the real KVM: the first starts the second by INIT and SIPI, as a kernel does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/kernel/kvm_run_fixture.h"
#include "vmm/cpu_group.h"
#include "vmm/interrupt_controller.h"

namespace vmwire {
namespace {

using Kind = RunOutcome::Kind;

constexpr uint64_t kStartPage = 8;  // The SIPI's vector: the second CPU starts at 0x8000.

class KvmSmpTest : public KvmRunTest {
 protected:
  void PrepareVm() override {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const InterruptController controller,
                                CreateInterruptController(*vm_));
    if (!controller.has_irqchip) GTEST_SKIP() << "this KVM has no KVM_CAP_IRQCHIP";
  }

  // Runs `first` in real mode on CPU 0, with `second` where CPU 1 starts.
  RunOutcome RunBoth(const std::vector<uint8_t>& first, const std::vector<uint8_t>& second,
                     StopRequest& stop) {
    Store(kCode, first);
    Store(kStartPage * kPageSize, second);
    std::vector<std::unique_ptr<Vcpu>> vcpus;
    vcpus.push_back(std::move(vcpu_));
    vcpus.push_back(Vcpu::Create(*vm_, 1).value());
    EXPECT_THAT(vcpus[1]->SetCpuid(system_->SupportedCpuid().value()), IsOk());
    kvm_sregs sregs = vcpus[0]->GetSregs().value();
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    EXPECT_THAT(vcpus[0]->SetSregs(sregs), IsOk());
    kvm_regs regs = {};
    regs.rip = kCode;
    regs.rflags = 2;
    EXPECT_THAT(vcpus[0]->SetRegs(regs), IsOk());
    CpuGroup group({ports_, mmio_, exit_latch_, memory_, complete_emulation_, {}, watch_sleep_},
                   vcpus, stop);
    RunOutcome outcome = group.Run();
    stats_ = group.stats();
    return outcome;
  }

  void Store(uint64_t address, const std::vector<uint8_t>& bytes) {
    ASSERT_THAT(memory_.Write(GuestAddress(address), std::as_bytes(std::span(bytes))), IsOk());
  }

  bool watch_sleep_ = false;

  // Turns the x2APIC on, sends CPU 1 an INIT and a SIPI through its ICR (Intel SDM volume 3,
  // 10.12), and waits for ever.
  const std::vector<uint8_t> start_other_ = {
      0x66, 0xb9, 0x1b,       0x00, 0x00, 0x00,  // mov ecx, 0x1b (IA32_APIC_BASE)
      0x0f, 0x32,                                // rdmsr
      0x66, 0x0d, 0x00,       0x0c, 0x00, 0x00,  // or eax, 0xc00
      0x0f, 0x30,                                // wrmsr
      0x66, 0xb9, 0x30,       0x08, 0x00, 0x00,  // mov ecx, 0x830 (ICR)
      0x66, 0xba, 0x01,       0x00, 0x00, 0x00,  // mov edx, 1
      0x66, 0xb8, 0x00,       0x45, 0x00, 0x00,  // mov eax, 0x4500 (INIT)
      0x0f, 0x30,                                // wrmsr
      0x66, 0xb8, kStartPage, 0x46, 0x00, 0x00,  // mov eax, 0x4600 + page (SIPI)
      0x0f, 0x30,                                // wrmsr
      0xfa, 0xf4, 0xeb,       0xfd,              // cli; 1: hlt; jmp 1b
  };
};

TEST_F(KvmSmpTest, SecondCpuRunsOnceItIsStarted) {
  StopRequest stop;
  const std::vector<uint8_t> exit_with_nine = {0xba, 0x00, 0x05, 0xb0, 9, 0xee};

  const RunOutcome outcome = RunBoth(start_other_, exit_with_nine, stop);

  EXPECT_EQ(outcome.kind, Kind::kExited) << outcome.report;
  EXPECT_EQ(outcome.code, 9u);
}

TEST_F(KvmSmpTest, StopReachesCpusThatSleepAndThatWaitForTheirStart) {
  StopRequest stop;
  const std::vector<uint8_t> sleep = {0xfa, 0xf4};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.Stop(StopRequest::kTimeLimit);
  });

  const RunOutcome outcome = RunBoth(sleep, sleep, stop);

  other.join();
  EXPECT_EQ(outcome.kind, Kind::kInterrupted);
  EXPECT_NE(outcome.report.find("CPU 1:"), std::string::npos) << outcome.report;
}

TEST_F(KvmSmpTest, GuestThatNothingCanWakeIsHalted) {
  StopRequest stop;
  watch_sleep_ = true;

  const RunOutcome outcome = RunBoth(start_other_, {0xfa, 0xf4}, stop);  // Both: cli; hlt.

  EXPECT_EQ(outcome.kind, Kind::kHalted) << outcome.report;
}

TEST_F(KvmSmpTest, DeathOfTheSecondCpuIsReportedAsItsOwn) {
  StopRequest stop;
  // lidt of an empty table at 0x8010, then ud2: a triple fault.
  std::vector<uint8_t> die = {0x2e, 0x0f, 0x01, 0x1e, 0x10, 0x00, 0x0f, 0x0b};
  die.resize(0x20);

  const RunOutcome outcome = RunBoth(start_other_, die, stop);

  // A KVM that emulates real mode gives up on the fault in place of the triple fault.
  EXPECT_THAT(outcome.kind, testing::AnyOf(Kind::kShutdown, Kind::kInternalError));
  EXPECT_EQ(outcome.report.find("CPU 1: "), 0u) << outcome.report;
}

}  // namespace
}  // namespace vmwire
