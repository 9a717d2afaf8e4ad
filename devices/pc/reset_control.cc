#include "devices/pc/reset_control.h"

namespace vmwire {
namespace {

constexpr uint8_t kResetNow = 0x04;

constexpr uint8_t kFastReset = 0x01;
constexpr uint8_t kA20 = 0x02;

}  // namespace

uint8_t ResetControl::ReadByte(uint64_t offset) { return offset == 0 ? value_ : 0xff; }

void ResetControl::WriteByte(uint64_t offset, uint8_t value) {
  if (offset != 0) return;
  value_ = value;
  if ((value & kResetNow) != 0) latch_.Request({ExitRequest::Kind::kReset});
}

uint8_t SystemControlA::ReadByte(uint64_t offset) { return offset == 0 ? kA20 : 0xff; }

void SystemControlA::WriteByte(uint64_t offset, uint8_t value) {
  // The first time that it is set is the last access of the machine.
  if (offset == 0 && (value & kFastReset) != 0) latch_.Request({ExitRequest::Kind::kReset});
}

}  // namespace vmwire
