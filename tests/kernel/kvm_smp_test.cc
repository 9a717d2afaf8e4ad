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
    has_timer_ = controller.has_timer;
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
    regs.rsp = kCode;
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
  bool has_timer_ = false;

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

// The timer comes as an NMI, by LINT0, for longer than the watch takes to see that a guest sleeps
// for ever. (KVM's timer waits for the end of its interrupt before the next, or for a new count.)
TEST_F(KvmSmpTest, GuestThatSleepsUntilAnNmiGoesOn) {
  if (!has_timer_) GTEST_SKIP() << "this KVM has no KVM_CAP_PIT2";
  StopRequest stop;
  watch_sleep_ = true;
  constexpr uint8_t kNmis = 30;            // Of 55 ms each.
  Store(2 * 4, {0x00, 0x18, 0x00, 0x00});  // The vector of the NMI.
  Store(0x1800, {
                    0xfe, 0x06, 0x00, 0x19,               // inc byte [0x1900]
                    0x80, 0x3e, 0x00, 0x19, kNmis,        // cmp byte [0x1900], kNmis
                    0x74, 0x07,                           // je 1f
                    0x30, 0xc0, 0xe6, 0x40, 0xe6,  0x40,  // xor al, al; out 0x40, al; out 0x40, al
                    0xcf,                                 // iret
                    0xba, 0x00, 0x05, 0xb0, 9,            // 1: mov dx, 0x500; mov al, 9
                    0xee,                                 // out dx, al
                });
  const std::vector<uint8_t> sleep_until_nmis = {
      0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00,  // mov ecx, 0x1b (IA32_APIC_BASE)
      0x0f, 0x32,                          // rdmsr
      0x66, 0x0d, 0x00, 0x0c, 0x00, 0x00,  // or eax, 0xc00 (x2APIC)
      0x0f, 0x30,                          // wrmsr
      0x66, 0x31, 0xd2,                    // xor edx, edx
      0x66, 0xb9, 0x0f, 0x08, 0x00, 0x00,  // mov ecx, 0x80f (spurious vector)
      0x66, 0xb8, 0xff, 0x01, 0x00, 0x00,  // mov eax, 0x1ff (on)
      0x0f, 0x30,                          // wrmsr
      0x66, 0xb9, 0x35, 0x08, 0x00, 0x00,  // mov ecx, 0x835 (LINT0)
      0x66, 0xb8, 0x00, 0x04, 0x00, 0x00,  // mov eax, 0x400 (NMI)
      0x0f, 0x30,                          // wrmsr
      0xb0, 0x34, 0xe6, 0x43,              // mov al, 0x34; out 0x43, al (counter 0, mode 2)
      0x30, 0xc0, 0xe6, 0x40,              // xor al, al; out 0x40, al
      0xe6, 0x40,                          // out 0x40, al (65536 ticks)
      0xfa, 0xf4, 0xeb, 0xfd,              // cli; 1: hlt; jmp 1b
  };

  const RunOutcome outcome = RunBoth(sleep_until_nmis, {}, stop);

  EXPECT_EQ(outcome.kind, Kind::kExited) << outcome.report;
  EXPECT_EQ(outcome.code, 9u);
}

TEST_F(KvmSmpTest, DeathOfTheSecondCpuIsReportedAsItsOwn) {
  StopRequest stop;
  // lidt of an empty table at 0x8010, then ud2: a triple fault.
  std::vector<uint8_t> die = {0x2e, 0x0f, 0x01, 0x1e, 0x10, 0x00, 0x0f, 0x0b};
  die.resize(0x20);

  const RunOutcome outcome = RunBoth(start_other_, die, stop);

  // A KVM that emulates real mode gives up on the fault in place of the triple fault.
  EXPECT_THAT(outcome.kind, testing::AnyOf(Kind::kShutdown, Kind::kInternalError));
  EXPECT_EQ(outcome.cpu, 1u);
  EXPECT_EQ(outcome.report.find("CPU 1: "), 0u) << outcome.report;
}

}  // namespace
}  // namespace vmwire
