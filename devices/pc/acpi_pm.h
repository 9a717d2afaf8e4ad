// The fixed hardware of ACPI: how a guest switches the machine off, and a timer that every PC has
// (ACPI 6.4, 4.8.2 to 4.8.3).
//
//   0  PM1a status, 2 bytes: no event ever happens, reads 0
//   2  PM1a enable, 2 bytes: reads back
//   4  PM1a control, 2 bytes: SCI_EN is always on; a write of SLP_EN with the sleep type of "off"
//      ends the machine
//   8  PM timer, 4 bytes: 3.579545 MHz, 32 bits
//
// The machine starts in ACPI mode (SCI_EN), so that there is no SMI command to switch to it, and
// raises no SCI.
//
// Invariants: one access sees one moment of the timer, whatever its size.
// Thread safety: thread-safe; the clock is called under the lock.
#ifndef VMWIRE_DEVICES_PC_ACPI_PM_H_
#define VMWIRE_DEVICES_PC_ACPI_PM_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "devices/exit_latch.h"
#include "devices/pc/byte_device.h"

namespace vmwire {

// Nanoseconds since any moment; never goes back.
using MonotonicClock = std::function<uint64_t()>;

class AcpiPm final : public ByteDevice {
 public:
  static constexpr uint64_t kWindowSize = 12;
  static constexpr uint64_t kStatusOffset = 0;
  static constexpr uint64_t kEnableOffset = 2;
  static constexpr uint64_t kControlOffset = 4;
  static constexpr uint64_t kTimerOffset = 8;
  static constexpr uint64_t kTimerHertz = 3'579'545;
  // SLP_TYP of the package \_S5, the soft-off state. A write of 0 is taken for the same: it is what
  // other monitors' tables name, and guests without an AML interpreter write.
  static constexpr uint8_t kSoftOffType = 5;

  // REQUIRES: `latch` outlives the object.
  AcpiPm(ExitLatch& latch, MonotonicClock clock) : latch_(latch), clock_(std::move(clock)) {}

  std::string Name() const override { return "ACPI power management"; }

  // Writes of SLP_EN with a sleep type that is not there.
  uint64_t ignored_sleeps() const ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    return ignored_sleeps_;
  }

 protected:
  void BeginAccess() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadByte(uint64_t offset) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

 private:
  void WriteControlHigh(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ExitLatch& latch_;
  const MonotonicClock clock_;
  std::array<uint8_t, 2> enable_ ABSL_GUARDED_BY(mutex_) = {};
  uint8_t control_low_ ABSL_GUARDED_BY(mutex_) = 0;
  uint8_t sleep_type_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t timer_ ABSL_GUARDED_BY(mutex_) = 0;  // At the access at hand.
  uint64_t ignored_sleeps_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_ACPI_PM_H_
