// A vCPU on a fake KVM beside 16 pages of fake guest memory at 0: what the run loop and its reports
// need.
//
// Thread safety: thread-compatible.
#ifndef VMWIRE_TESTS_VMM_FAKE_MACHINE_H_
#define VMWIRE_TESTS_VMM_FAKE_MACHINE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "memory/guest_memory.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/support/map_fixture.h"
#include "vmm/interrupt_controller.h"
#include "vmm/system.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

namespace vmwire {

inline constexpr uint64_t kFakeMemoryPages = 16;

class FakeMachine {
 public:
  // `irqchip`: with KVM's interrupt controller.
  explicit FakeMachine(bool irqchip = false)
      : object_(memory_.Add(0, kFakeMemoryPages)),
        guest_memory_(memory_.map()),
        kvm_(memory_.journal()),
        system_(System::Open(kvm_).value()),
        vm_(Vm::Create(*system_).value()),
        interrupts_(irqchip ? CreateInterruptController(*vm_).value() : InterruptController()),
        vcpu_(Vcpu::Create(*vm_, 0).value()) {}

  FakeKvm& kvm() { return kvm_; }
  Journal& journal() { return memory_.journal(); }
  Vcpu& vcpu() { return *vcpu_; }
  // One more, of which Run only sleeps.
  std::unique_ptr<Vcpu> CreateVcpu(uint32_t id) { return Vcpu::Create(*vm_, id).value(); }
  const GuestMemory& memory() { return guest_memory_; }

  // 64-bit code at `rip`.
  void StartLongMode(uint64_t rip) {
    kvm_regs regs = {};
    regs.rip = rip;
    kvm_sregs sregs = {};
    sregs.cr0 = 0x80000001;
    sregs.efer = 0x500;
    sregs.cs.l = 1;
    EXPECT_TRUE(vcpu_->SetRegs(regs).ok());
    EXPECT_TRUE(vcpu_->SetSregs(sregs).ok());
  }
  void Store(uint64_t address, const std::vector<uint8_t>& bytes) {
    EXPECT_TRUE(guest_memory_.Write(GuestAddress(address), std::as_bytes(std::span(bytes))).ok());
  }

 private:
  TestMap memory_;
  std::shared_ptr<VmObject> object_;
  GuestMemory guest_memory_;
  FakeKvm kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  InterruptController interrupts_;
  std::unique_ptr<Vcpu> vcpu_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_FAKE_MACHINE_H_
