// The keyboard controller of a PC, an 8042, with nothing plugged in: guests probe it, reset the
// machine by it, and open A20 by it.
//
//   offset 0, port 0x60: data. Reads take the output buffer; writes are the argument of the last
//     command, or bytes for the keyboard
//   offset 4, port 0x64: reads give the status, writes are commands
//
// There is no interrupt: a driver that probes by polling (firmware, Linux's controller checks) gets
// each answer at once. A byte for the keyboard or the mouse gives 0xfe with the time-out bit, which
// is what a controller says for a device that does not answer; a look for a mouse finds its clock
// line stuck, so that it ends at once.
//
// Invariants: A20 is always open, whatever is written. Commands as in the 8042's data sheet and IBM
// PS/2 Technical Reference, "Keyboard/Auxiliary Device Controller".
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_PC_KEYBOARD_CONTROLLER_H_
#define VMWIRE_DEVICES_PC_KEYBOARD_CONTROLLER_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "devices/exit_latch.h"
#include "devices/pc/byte_device.h"

namespace vmwire {

class KeyboardController final : public ByteDevice {
 public:
  static constexpr uint64_t kDataOffset = 0;
  static constexpr uint64_t kCommandOffset = 4;

  // REQUIRES: `latch` outlives the object.
  explicit KeyboardController(ExitLatch& latch);

  std::string Name() const override { return "keyboard controller"; }

 protected:
  uint8_t ReadByte(uint64_t offset) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

 private:
  static constexpr size_t kRamSize = 32;

  uint8_t Status() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t TakeOutput() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `from`: the status bits that go with the byte.
  void Answer(uint8_t value, uint8_t from = 0) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteCommand(uint8_t command) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteData(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Reset() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ExitLatch& latch_;
  std::array<uint8_t, kRamSize> ram_ ABSL_GUARDED_BY(mutex_) = {};  // Byte 0: the command byte.
  uint8_t output_ ABSL_GUARDED_BY(mutex_) = 0;
  uint8_t output_status_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: the output buffer is empty.
  uint8_t argument_of_ ABSL_GUARDED_BY(mutex_) = 0;    // A command that waits; 0: none.
  bool last_was_command_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_KEYBOARD_CONTROLLER_H_
