// The devices at ports that every machine has: the serial port, the ways for a guest to end, and
// the small devices of a PC that stock guests touch.
//
//   0x60, 0x64   keyboard controller          0x500        exit and exception ports
//   0x70, 0x71   CMOS and RTC                 0x600..0x60b ACPI power management
//   0x80         POST code                    0xcf9        reset control
//   0x92         system control port A        0x402        debug console
//   0xe0..0xeb   test device                  0xf4..0xf7   debug exit
//   0x3f8..0x3ff serial port                  0x2000..0x2017 test interrupts
//
// In the MMIO hole, at 0xff000000: test memory.
//
// The interrupt controllers and the timer (0x20, 0x21, 0x40 to 0x43, 0x61, 0xa0, 0xa1, 0x4d0,
// 0x4d1) are KVM's, or absent.
//
// Invariants: no port answers for two devices.
// Thread safety: as Device; the devices are thread-safe. Register is called before a vCPU runs.
#ifndef VMWIRE_VMM_PC_DEVICES_H_
#define VMWIRE_VMM_PC_DEVICES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "devices/bus.h"
#include "devices/exit_latch.h"
#include "devices/exit_port/exit_port.h"
#include "devices/interrupt_line.h"
#include "devices/interrupt_pins.h"
#include "devices/pc/acpi_pm.h"
#include "devices/pc/cmos_rtc.h"
#include "devices/pc/debug_ports.h"
#include "devices/pc/device_part.h"
#include "devices/pc/keyboard_controller.h"
#include "devices/pc/reset_control.h"
#include "devices/pc/test_device.h"
#include "devices/serial/serial_16550.h"
#include "vmm/guest_layout.h"

namespace vmwire {

// How much memory of `layout` lies below the MMIO hole and above it.
PcMemorySizes MemorySizesOf(const GuestLayout& layout);

// Of the host. For a PcDevices that is not a test's.
int64_t HostWallClock();
uint64_t HostMonotonicClock();

class PcDevices {
 public:
  struct Options {
    SerialSink serial;          // What the guest prints.
    SerialSink debug_console;   // What it writes to port 0x402.
    PcMemorySizes memory = {};  // As the CMOS has it.
    WallClock wall_clock = HostWallClock;
    MonotonicClock monotonic_clock = HostMonotonicClock;
  };

  // `pins`: those that the guest sets by itself, through the test device. REQUIRES: `latch`,
  // `serial_line` and `pins` outlive the object; both sinks may be called as long.
  PcDevices(Options options, ExitLatch& latch, InterruptLine& serial_line, InterruptPins& pins);
  PcDevices(const PcDevices&) = delete;
  PcDevices& operator=(const PcDevices&) = delete;

  // Gives each device its ports and addresses. AlreadyExists: another has one of them. REQUIRES:
  // called once; the object outlives both.
  absl::Status Register(Bus& ports, Bus& mmio);

  Serial16550& serial() { return serial_; }
  DebugConsole& debug_console() { return debug_console_; }
  const AcpiPm& acpi_pm() const { return acpi_pm_; }

  // Gives both sinks what is held back. To be called when the guest ends.
  void Flush();

 private:
  Serial16550 serial_;
  ExitPort exit_port_;
  KeyboardController keyboard_;
  DevicePart keyboard_command_;
  CmosRtc cmos_;
  AcpiPm acpi_pm_;
  ResetControl reset_control_;
  SystemControlA system_control_;
  DebugConsole debug_console_;
  DebugExit debug_exit_;
  TestDevice test_device_;
  TestInterrupts test_interrupts_;
  TestMemory test_memory_;
  PostCode post_code_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_PC_DEVICES_H_
