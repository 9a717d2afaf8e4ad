#include "vmm/pc_devices.h"

#include <array>
#include <chrono>
#include <utility>

#include "memory/status_macros.h"

namespace vmwire {
namespace {

// Where they always were on a PC.
constexpr uint16_t kKeyboardDataPort = 0x60;
constexpr uint16_t kKeyboardCommandPort = 0x64;
constexpr uint16_t kCmosPort = 0x70;
constexpr uint16_t kPostCodePort = 0x80;
constexpr uint16_t kSystemControlPort = 0x92;
// Where other monitors have them.
constexpr uint16_t kTestDevicePort = 0xe0;
constexpr uint16_t kDebugExitPort = 0xf4;
constexpr uint16_t kDebugConsolePort = 0x402;
constexpr uint16_t kTestInterruptsPort = 0x2000;
constexpr uint64_t kTestMemoryAddress = 0xff000000;

static_assert(kPmControlPort == kPmEventPort + AcpiPm::kControlOffset);
static_assert(kPmTimerPort == kPmEventPort + AcpiPm::kTimerOffset);
static_assert(kSerialPortCount == Serial16550::kWindowSize);
static_assert(kExceptionPort == kExitPort + ExitPort::kExceptionOffset);

}  // namespace

PcMemorySizes MemorySizesOf(const GuestLayout& layout) {
  PcMemorySizes sizes;
  for (const GuestRange& range : layout.ram()) {
    (range.start() < kMmioHoleStart ? sizes.below_4g : sizes.above_4g) += range.size();
  }
  return sizes;
}

int64_t HostWallClock() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

uint64_t HostMonotonicClock() {
  const std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(now.count());
}

PcDevices::PcDevices(Options options, ExitLatch& latch, InterruptLine& serial_line,
                     InterruptPins& pins)
    : serial_(std::move(options.serial), serial_line),
      exit_port_(latch),
      keyboard_(latch),
      keyboard_command_(keyboard_, KeyboardController::kCommandOffset),
      cmos_(options.memory, std::move(options.wall_clock)),
      acpi_pm_(latch, std::move(options.monotonic_clock)),
      reset_control_(latch),
      system_control_(latch),
      debug_console_(std::move(options.debug_console)),
      debug_exit_(latch),
      test_interrupts_(pins) {}

absl::Status PcDevices::Register(Bus& ports, Bus& mmio) {
  struct Window {
    uint16_t port;
    uint64_t size;
    Device* device;
  };
  const std::array<Window, 13> windows = {{
      {kSerialPort, Serial16550::kWindowSize, &serial_},
      {kExitPort, ExitPort::kWindowSize, &exit_port_},
      {kKeyboardDataPort, 1, &keyboard_},
      {kKeyboardCommandPort, 1, &keyboard_command_},
      {kCmosPort, CmosRtc::kWindowSize, &cmos_},
      {kPmEventPort, AcpiPm::kWindowSize, &acpi_pm_},
      {kResetPort, 1, &reset_control_},
      {kSystemControlPort, 1, &system_control_},
      {kDebugConsolePort, 1, &debug_console_},
      {kDebugExitPort, DebugExit::kWindowSize, &debug_exit_},
      {kTestDevicePort, TestDevice::kWindowSize, &test_device_},
      {kTestInterruptsPort, TestInterrupts::kWindowSize, &test_interrupts_},
      {kPostCodePort, 1, &post_code_},
  }};
  for (const Window& window : windows) {
    VMWIRE_RETURN_IF_ERROR(ports.Register(window.port, window.size, *window.device));
  }
  return mmio.Register(kTestMemoryAddress, TestMemory::kWindowSize, test_memory_);
}

void PcDevices::Flush() {
  serial_.Flush();
  debug_console_.output().Flush();
}

}  // namespace vmwire
