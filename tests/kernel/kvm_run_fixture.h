// The run loop on the real KVM: 64 KiB of memory at 0, a vCPU, a serial port and the exit port.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_KVM_RUN_FIXTURE_H_
#define VMWIRE_TESTS_KERNEL_KVM_RUN_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/bus.h"
#include "devices/exit_latch.h"
#include "devices/exit_port/exit_port.h"
#include "devices/serial/serial_16550.h"
#include "memory/guest_memory.h"
#include "memory/host_memory_linux.h"
#include "memory/mlock_pinner.h"
#include "memory/pin_table.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_policy.h"
#include "tests/fakes/recording_line.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"
#include "vmm/kvm_api_linux.h"
#include "vmm/run_loop.h"
#include "vmm/slot_table.h"

namespace vmwire {

inline constexpr uint64_t kCode = 0x1000;
inline constexpr uint64_t kRamPages = 16;

class KvmRunTest : public testing::Test {
 protected:
  void SetUp() override {
    auto system = System::Open(kvm_);
    if (!system.ok()) GTEST_SKIP() << "no usable /dev/kvm: " << system.status();
    system_ = *std::move(system);
    VMWIRE_ASSERT_OK_AND_ASSIGN(vm_, Vm::Create(*system_));
    ASSERT_NO_FATAL_FAILURE(PrepareVm());
    if (IsSkipped()) return;
    table_.emplace(*vm_);
    AddMemory(0, kRamPages, Protection::kAll);
    VMWIRE_ASSERT_OK_AND_ASSIGN(vcpu_, Vcpu::Create(*vm_, 0));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto cpuid, system_->SupportedCpuid());
    ASSERT_THAT(vcpu_->SetCpuid(cpuid), IsOk());
    ASSERT_THAT(ports_.Register(0x3f8, Serial16550::kWindowSize, serial_), IsOk());
    ASSERT_THAT(ports_.Register(0x500, ExitPort::kWindowSize, exit_port_), IsOk());
  }

  // What the VM needs before it has a vCPU.
  virtual void PrepareVm() {}

  void AddMemory(uint64_t first, uint64_t end, Protection protection) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(auto object,
                                VmObject::Create(host_, {.size = (end - first) * kPageSize}));
    ASSERT_THAT(map_.Map(Pages(first, end), object, 0, protection), IsOk());
    VMWIRE_ASSERT_OK_AND_ASSIGN(SlotBacking backing,
                                WirePolicy::All().Apply(map_, Pages(first, end)));
    VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(std::move(backing)));
    slots_.push_back(std::move(slot));
  }

  // Runs `code` in real mode, at kCode.
  RunOutcome RunCode(const std::vector<uint8_t>& code) {
    StopRequest never;
    return RunCode(code, never);
  }
  RunOutcome RunCode(const std::vector<uint8_t>& code, StopRequest& stop) {
    EXPECT_THAT(memory_.Write(GuestAddress(kCode), std::as_bytes(std::span(code))), IsOk());
    kvm_sregs sregs = vcpu_->GetSregs().value();
    sregs.cs.base = 0;
    sregs.cs.selector = (sregs.cr0 & 1) != 0 ? 8 : 0;
    EXPECT_THAT(vcpu_->SetSregs(sregs), IsOk());
    kvm_regs regs = {};
    regs.rip = kCode;
    regs.rsp = kCode;
    regs.rflags = 2;
    EXPECT_THAT(vcpu_->SetRegs(regs), IsOk());
    RunLoop loop({*vcpu_, ports_, mmio_, exit_latch_, memory_, complete_emulation_}, stop);
    RunOutcome outcome = loop.Run();
    serial_.Flush();
    stats_ = loop.stats();
    return outcome;
  }

  HostMemoryLinux host_;
  MlockPinner pinner_{host_, PopulateOptions{}};
  WireBudget budget_{{}};
  PinTable pins_{pinner_, budget_};
  VmMap map_{pins_, {}};
  GuestMemory memory_{map_};
  KvmApiLinux kvm_;
  std::unique_ptr<System> system_;
  std::unique_ptr<Vm> vm_;
  std::optional<SlotTable> table_;
  std::vector<MemorySlot> slots_;
  std::unique_ptr<Vcpu> vcpu_;
  std::string printed_;
  std::function<void()> on_line_;  // Called when the guest has printed one.
  RecordingLine serial_line_;
  Serial16550 serial_{[this](std::span<const std::byte> bytes) {
                        printed_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                        if (on_line_) on_line_();
                      },
                      serial_line_};
  ExitLatch exit_latch_;
  ExitPort exit_port_{exit_latch_};
  Bus ports_{"port I/O", kPortSpaceSize};
  Bus mmio_{"MMIO", kMmioSpaceSize};
  bool complete_emulation_ = false;
  RunStats stats_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_KVM_RUN_FIXTURE_H_
