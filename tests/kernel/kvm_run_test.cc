// The run loop on the real KVM, with a few bytes of real-mode code as the guest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "devices/bus.h"
#include "devices/exit_port/exit_port.h"
#include "devices/serial/serial_16550.h"
#include "memory/guest_memory.h"
#include "memory/host_memory_linux.h"
#include "memory/mlock_pinner.h"
#include "memory/pin_table.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_policy.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"
#include "vmm/exit_report.h"
#include "vmm/kvm_api_linux.h"
#include "vmm/run_loop.h"
#include "vmm/slot_table.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Kind = RunOutcome::Kind;

constexpr uint64_t kCode = 0x1000;
constexpr uint64_t kRamPages = 16;
constexpr uint64_t kReadOnlyPage = 32;

class KvmRunTest : public testing::Test {
 protected:
  void SetUp() override {
    auto system = System::Open(kvm_);
    if (!system.ok()) GTEST_SKIP() << "no usable /dev/kvm: " << system.status();
    system_ = *std::move(system);
    VMWIRE_ASSERT_OK_AND_ASSIGN(vm_, Vm::Create(*system_));
    table_.emplace(*vm_);
    AddMemory(0, kRamPages, Protection::kAll);
    VMWIRE_ASSERT_OK_AND_ASSIGN(vcpu_, Vcpu::Create(*vm_, 0));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const auto cpuid, system_->SupportedCpuid());
    ASSERT_THAT(vcpu_->SetCpuid(cpuid), IsOk());
    ASSERT_THAT(ports_.Register(0x3f8, Serial16550::kWindowSize, serial_), IsOk());
    ASSERT_THAT(ports_.Register(0x500, ExitPort::kWindowSize, exit_port_), IsOk());
  }

  void AddMemory(uint64_t first, uint64_t end, Protection protection) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(auto object,
                                VmObject::Create(host_, {.size = (end - first) * kPageSize}));
    ASSERT_THAT(map_.Map(Pages(first, end), object, 0, protection), IsOk());
    VMWIRE_ASSERT_OK_AND_ASSIGN(SlotBacking backing,
                                WirePolicy::All().Apply(map_, Pages(first, end)));
    VMWIRE_ASSERT_OK_AND_ASSIGN(MemorySlot slot, table_->Install(std::move(backing)));
    slots_.push_back(std::move(slot));
  }

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
    RunLoop loop({*vcpu_, ports_, mmio_, exit_port_, memory_}, stop);
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
  Serial16550 serial_{[this](std::span<const std::byte> bytes) {
    printed_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }};
  ExitPort exit_port_;
  Bus ports_{"port I/O", kPortSpaceSize};
  Bus mmio_{"MMIO", kMmioSpaceSize};
  RunStats stats_;
};

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
  EXPECT_THAT(DescribeCode(*vcpu_, memory_, regs, sregs), HasSubstr("mov ax, 0x1234"));
}

}  // namespace
}  // namespace vmwire
