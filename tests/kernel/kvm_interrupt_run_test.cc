// Interrupts and doorbells on the real KVM, with a few bytes of real-mode code as the guest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/kernel/kvm_run_fixture.h"
#include "vmm/doorbell.h"
#include "vmm/interrupt_controller.h"
#include "vmm/irqfd_line.h"
#include "vmm/kvm_interrupt_pins.h"

namespace vmwire {
namespace {

using Kind = RunOutcome::Kind;

constexpr uint32_t kLine = 5;
// Where the PIC below puts kLine, and the address of its entry in the real-mode vector table.
constexpr uint64_t kVectorEntry = (0x20 + kLine) * 4;
constexpr uint64_t kHandler = 0x1800;
constexpr uint64_t kDoorbell = 0x80000;  // Beyond memory, and within reach of real mode.

class KvmInterruptRunTest : public KvmRunTest {
 protected:
  void PrepareVm() override {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const InterruptController controller,
                                CreateInterruptController(*vm_));
    if (!controller.has_irqchip) GTEST_SKIP() << "this KVM has no KVM_CAP_IRQCHIP";
  }

  void Store(uint64_t address, const std::vector<uint8_t>& bytes) {
    ASSERT_THAT(memory_.Write(GuestAddress(address), std::as_bytes(std::span(bytes))), IsOk());
  }
  // The handler of kLine ends the guest with code 9.
  void InstallHandler() {
    Store(kVectorEntry, {kHandler & 0xff, kHandler >> 8, 0, 0});
    Store(kHandler, {0xba, 0x00, 0x05, 0xb0, 9, 0xee});  // mov dx, 0x500; mov al, 9; out dx, al
  }

  // Sets the PIC up at vectors 0x20.., all lines but kLine masked, and sleeps with interrupts on.
  const std::vector<uint8_t> sleep_ = {
      0xb0, 0x11,
      0xe6, 0x20,  // mov al, 0x11; out 0x20, al
      0xb0, 0x20,
      0xe6, 0x21,  // first vector
      0xb0, 0x04,
      0xe6, 0x21,  // the line of the second PIC
      0xb0, 0x01,
      0xe6, 0x21,  // 8086 mode
      0xb0, 0xff ^ (1 << kLine),
      0xe6, 0x21,  // mask
      0xfb, 0xf4,
      0xeb, 0xfd,  // sti; 1: hlt; jmp 1b
  };
};

TEST_F(KvmInterruptRunTest, RaisedLineWakesTheSleepingGuest) {
  InstallHandler();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto line, IrqfdLine::Create(*vm_, kLine));
  std::thread device([&line] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    line->Raise();
  });

  const RunOutcome outcome = RunCode(sleep_);

  device.join();
  EXPECT_EQ(outcome.kind, Kind::kExited) << outcome.report;
  EXPECT_EQ(outcome.code, 9u);
  EXPECT_EQ(stats_.exits.total(), 1u) << "sleep and interrupt cost no exit";
}

TEST_F(KvmInterruptRunTest, EdgeBeforeTheGuestUnmasksIsNotLost) {
  InstallHandler();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const auto line, IrqfdLine::Create(*vm_, kLine));
  std::vector<uint8_t> code = sleep_;
  // An exit between the set-up of the PIC and STI, in which the device raises its line.
  code.insert(code.end() - 4, {0xba, 0xf8, 0x03, 0xb0, '\n', 0xee});
  on_line_ = [&line] { line->Raise(); };

  const RunOutcome outcome = RunCode(code);

  EXPECT_EQ(outcome.kind, Kind::kExited) << outcome.report;
  EXPECT_EQ(outcome.code, 9u);
}

TEST_F(KvmInterruptRunTest, PinThatGoesHighWakesTheSleepingGuest) {
  InstallHandler();
  KvmInterruptPins pins(*vm_, {.has_irqchip = true});
  std::thread device([&pins] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pins.SetLevel(kLine, true);
  });

  const RunOutcome outcome = RunCode(sleep_);

  device.join();
  EXPECT_EQ(outcome.kind, Kind::kExited) << outcome.report;
  EXPECT_EQ(outcome.code, 9u);
}

TEST_F(KvmInterruptRunTest, StopEndsAGuestThatSleepsWithInterruptsOff) {
  StopRequest stop;
  std::thread other([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.Stop(SIGTERM);
  });

  const RunOutcome outcome = RunCode({0xfa, 0xf4}, stop);  // cli; hlt

  other.join();
  EXPECT_EQ(outcome.kind, Kind::kInterrupted);
  EXPECT_EQ(outcome.code, static_cast<uint32_t>(SIGTERM));
}

// Writes 4 bytes of `value` to the doorbell, then ends the guest with code 7.
std::vector<uint8_t> RingCode(uint8_t value) {
  return {
      0xb8,
      kDoorbell >> 4 & 0xff,
      kDoorbell >> 12,  // mov ax, segment
      0x8e,
      0xd8,  // mov ds, ax
      0x66,
      0xc7,
      0x06,
      0,
      0,
      value,
      0,
      0,
      0,  // mov dword [0], value
      0xba,
      0x00,
      0x05,
      0xb0,
      0x07,
      0xee,  // mov dx, 0x500; mov al, 7; out dx, al
  };
}

TEST_F(KvmInterruptRunTest, DoorbellSignalsTheEventInTheKernel) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const EventFd event, EventFd::Create());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const Doorbell doorbell,
                              Doorbell::Create(*vm_, GuestAddress(kDoorbell), event));

  const RunOutcome outcome = RunCode(RingCode(3));

  EXPECT_EQ(outcome.code, 7u) << outcome.report;
  EXPECT_TRUE(event.Drain());
  EXPECT_EQ(stats_.exits.of(KVM_EXIT_MMIO), 0u);
}

TEST_F(KvmInterruptRunTest, DoorbellForAValueLeavesTheOthersToTheDevice) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const EventFd event, EventFd::Create());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const Doorbell doorbell,
                              Doorbell::Create(*vm_, GuestAddress(kDoorbell), event, 1));

  RunCode(RingCode(3));

  EXPECT_FALSE(event.Drain());
  EXPECT_EQ(stats_.exits.of(KVM_EXIT_MMIO), 1u);
}

TEST_F(KvmInterruptRunTest, DoorbellThatIsGoneLeavesTheWriteToTheDevice) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const EventFd event, EventFd::Create());
  { auto doorbell = Doorbell::Create(*vm_, GuestAddress(kDoorbell), event); }

  RunCode(RingCode(3));

  EXPECT_FALSE(event.Drain());
  EXPECT_EQ(stats_.exits.of(KVM_EXIT_MMIO), 1u);
}

}  // namespace
}  // namespace vmwire
