// The two one-byte ports that reset a PC: the reset control register of Intel's chip sets (0xcf9)
// and system control port A (0x92).
//
// ResetControl: bit 2 resets; bit 1 says whether all of the machine or the processor alone, which
// is the same where no firmware takes over. Reads give what was written last.
// SystemControlA: bit 0, when it goes from 0 to 1, resets; bit 1 is A20, always open.
//
// Invariants: none.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_PC_RESET_CONTROL_H_
#define VMWIRE_DEVICES_PC_RESET_CONTROL_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "devices/exit_latch.h"
#include "devices/pc/byte_device.h"

namespace vmwire {

// Intel I/O Controller Hub 9 data sheet, 13.7.5.
class ResetControl final : public ByteDevice {
 public:
  // REQUIRES: `latch` outlives the object.
  explicit ResetControl(ExitLatch& latch) : latch_(latch) {}

  std::string Name() const override { return "reset control"; }

 protected:
  uint8_t ReadByte(uint64_t offset) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

 private:
  ExitLatch& latch_;
  uint8_t value_ ABSL_GUARDED_BY(mutex_) = 0;
};

// IBM PS/2 Technical Reference, "System Control Port A".
class SystemControlA final : public ByteDevice {
 public:
  // REQUIRES: `latch` outlives the object.
  explicit SystemControlA(ExitLatch& latch) : latch_(latch) {}

  std::string Name() const override { return "system control port A"; }

 protected:
  uint8_t ReadByte(uint64_t offset) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

 private:
  ExitLatch& latch_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_RESET_CONTROL_H_
