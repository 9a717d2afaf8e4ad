#include "devices/pc/acpi_pm.h"

namespace vmwire {
namespace {

// PM1 control (ACPI 6.4, 4.8.3.2.1), by bytes.
constexpr uint8_t kSciEnable = 0x01;
constexpr uint8_t kBusMasterReload = 0x02;
constexpr uint8_t kSleepTypeShift = 2;
constexpr uint8_t kSleepTypeMask = 0x07;
constexpr uint8_t kSleepEnable = 0x20;

constexpr uint64_t kNanosecondsInASecond = 1'000'000'000;

// Exact, and never too wide: the seconds and what is beside them apart.
uint64_t TimerTicks(uint64_t nanoseconds) {
  return nanoseconds / kNanosecondsInASecond * AcpiPm::kTimerHertz +
         nanoseconds % kNanosecondsInASecond * AcpiPm::kTimerHertz / kNanosecondsInASecond;
}

}  // namespace

void AcpiPm::BeginAccess() { timer_ = static_cast<uint32_t>(TimerTicks(clock_())); }

uint8_t AcpiPm::ReadByte(uint64_t offset) {
  switch (offset) {
    case kStatusOffset:
    case kStatusOffset + 1:
      return 0;
    case kEnableOffset:
    case kEnableOffset + 1:
      return enable_[offset - kEnableOffset];
    case kControlOffset:
      return control_low_ | kSciEnable;
    case kControlOffset + 1:  // SLP_EN reads as zero.
      return static_cast<uint8_t>(sleep_type_ << kSleepTypeShift);
    case kTimerOffset:
    case kTimerOffset + 1:
    case kTimerOffset + 2:
    case kTimerOffset + 3:
      return static_cast<uint8_t>(timer_ >> (8 * (offset - kTimerOffset)));
    default:
      return 0xff;
  }
}

void AcpiPm::WriteByte(uint64_t offset, uint8_t value) {
  switch (offset) {
    case kEnableOffset:
    case kEnableOffset + 1:
      enable_[offset - kEnableOffset] = value;
      break;
    case kControlOffset:
      control_low_ = value & kBusMasterReload;
      break;
    case kControlOffset + 1:
      WriteControlHigh(value);
      break;
    default:  // The timer is read-only; a status that is never set needs no clearing.
      break;
  }
}

void AcpiPm::WriteControlHigh(uint8_t value) {
  sleep_type_ = (value >> kSleepTypeShift) & kSleepTypeMask;
  if ((value & kSleepEnable) == 0) return;
  if (sleep_type_ == kSoftOffType || sleep_type_ == 0) {
    latch_.Request({ExitRequest::Kind::kPowerOff});
  } else {
    ++ignored_sleeps_;
  }
}

}  // namespace vmwire
