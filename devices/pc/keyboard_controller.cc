#include "devices/pc/keyboard_controller.h"

#include <utility>

namespace vmwire {
namespace {

constexpr uint8_t kOutputFull = 0x01;
constexpr uint8_t kSystem = 0x04;  // The self-test has passed.
constexpr uint8_t kLastWasCommand = 0x08;
constexpr uint8_t kNotLocked = 0x10;
constexpr uint8_t kFromMouse = 0x20;
constexpr uint8_t kTimeout = 0x40;

enum Command : uint8_t {
  kReadRam = 0x20,   // To 0x3f.
  kWriteRam = 0x60,  // To 0x7f.
  kDisableMouse = 0xa7,
  kEnableMouse = 0xa8,
  kTestMouse = 0xa9,
  kSelfTest = 0xaa,
  kTestKeyboard = 0xab,
  kDisableKeyboard = 0xad,
  kEnableKeyboard = 0xae,
  kReadInputPort = 0xc0,
  kReadOutputPort = 0xd0,
  kWriteOutputPort = 0xd1,
  kLoopKeyboard = 0xd2,
  kLoopMouse = 0xd3,
  kWriteMouse = 0xd4,
  kReadTestInputs = 0xe0,
  kPulse = 0xf0,  // To 0xff: a zero in bits 0 to 3 pulses that bit of the output port low.
};

constexpr uint8_t kKeyboardDisabled = 0x10;
constexpr uint8_t kMouseDisabled = 0x20;
constexpr uint8_t kTranslate = 0x40;
constexpr uint8_t kNotReset = 0x01;  // Bit 0 of the output port: low resets the processor.
constexpr uint8_t kA20 = 0x02;

constexpr uint8_t kSelfTestPassed = 0x55;
constexpr uint8_t kLinesAreFine = 0x00;
constexpr uint8_t kClockStuckLow = 0x01;
constexpr uint8_t kResend = 0xfe;

}  // namespace

// As firmware leaves it where there is neither keyboard nor mouse.
KeyboardController::KeyboardController(ExitLatch& latch) : latch_(latch) {
  ram_[0] = kTranslate | kMouseDisabled | kKeyboardDisabled | kSystem;
}

uint8_t KeyboardController::ReadByte(uint64_t offset) {
  if (offset == kDataOffset) return TakeOutput();
  return offset == kCommandOffset ? Status() : 0xff;
}

void KeyboardController::WriteByte(uint64_t offset, uint8_t value) {
  if (offset == kDataOffset) WriteData(value);
  if (offset == kCommandOffset) WriteCommand(value);
}

uint8_t KeyboardController::Status() const {
  return static_cast<uint8_t>(kNotLocked | (ram_[0] & kSystem) | output_status_ |
                              (last_was_command_ ? kLastWasCommand : 0));
}

uint8_t KeyboardController::TakeOutput() {
  output_status_ = 0;
  return output_;
}

void KeyboardController::Answer(uint8_t value, uint8_t from) {
  output_ = value;
  output_status_ = kOutputFull | from;
}

void KeyboardController::WriteCommand(uint8_t command) {
  last_was_command_ = true;
  argument_of_ = 0;
  if (command >= kPulse) {
    if ((command & kNotReset) == 0) Reset();
    return;
  }
  if ((command & ~(kRamSize - 1)) == kReadRam) return Answer(ram_[command % kRamSize]);
  switch (command) {
    case kDisableMouse:
      ram_[0] |= kMouseDisabled;
      break;
    case kEnableMouse:
      ram_[0] &= static_cast<uint8_t>(~kMouseDisabled);
      break;
    case kTestMouse:
      Answer(kClockStuckLow);
      break;
    case kSelfTest:
      ram_[0] |= kSystem;
      Answer(kSelfTestPassed);
      break;
    case kTestKeyboard:
      Answer(kLinesAreFine);
      break;
    case kDisableKeyboard:
      ram_[0] |= kKeyboardDisabled;
      break;
    case kEnableKeyboard:
      ram_[0] &= static_cast<uint8_t>(~kKeyboardDisabled);
      break;
    case kReadInputPort:
      Answer(0x80);  // The keyboard is not locked.
      break;
    case kReadOutputPort:
      Answer(kNotReset | kA20);
      break;
    case kReadTestInputs:
      Answer(0);
      break;
    default:
      // Of the others those that exist have an argument, and one for none does no harm.
      argument_of_ = command;
      break;
  }
}

void KeyboardController::WriteData(uint8_t value) {
  last_was_command_ = false;
  const uint8_t command = std::exchange(argument_of_, uint8_t{0});
  if ((command & ~(kRamSize - 1)) == kWriteRam) {
    ram_[command % kRamSize] = value;
    return;
  }
  switch (command) {
    case 0:
      Answer(kResend, kTimeout);
      break;
    case kWriteOutputPort:
      if ((value & kNotReset) == 0) Reset();
      break;
    case kLoopKeyboard:
    case kLoopMouse:  // Not marked as from the mouse: there is no such interface.
      Answer(value);
      break;
    case kWriteMouse:
      Answer(kResend, kTimeout | kFromMouse);
      break;
    default:
      break;
  }
}

void KeyboardController::Reset() { latch_.Request({ExitRequest::Kind::kReset}); }

}  // namespace vmwire
