// The "PC test device", as test kernels (kvm-unit-tests) know it from another monitor: scratch
// ports, interrupt lines at the guest's command, and scratch memory behind no slot.
//
//   TestDevice, ports 0xe0 to 0xeb
//     0..3   four bytes that read back what was written, by accesses of any size
//     4..7   "flush": takes the address of a page that the monitor is to drop from its own tables.
//            Nothing here depends on that; writes are dropped
//     8..11  the four bytes of 0..3 again
//   TestInterrupts, ports 0x2000 to 0x2017: a write of a byte to port 0x2000 + n sets the level of
//            interrupt pin n: 0 low, else high
//   TestMemory, at 0xff000000: 64 KiB of memory of which each access is an exit, 0 at first
//
// Invariants: none.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_PC_TEST_DEVICE_H_
#define VMWIRE_DEVICES_PC_TEST_DEVICE_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "devices/interrupt_pins.h"
#include "devices/pc/byte_device.h"

namespace vmwire {

class TestDevice final : public ByteDevice {
 public:
  static constexpr uint64_t kWindowSize = 12;

  std::string Name() const override { return "test device"; }

 protected:
  uint8_t ReadByte(uint64_t offset) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return IsScratch(offset) ? scratch_[offset % kScratchSize] : 0xff;
  }
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (IsScratch(offset)) scratch_[offset % kScratchSize] = value;
  }

 private:
  static constexpr uint64_t kScratchSize = 4;

  static bool IsScratch(uint64_t offset) {
    return offset < kWindowSize && offset / kScratchSize != 1;
  }

  std::array<uint8_t, kScratchSize> scratch_ ABSL_GUARDED_BY(mutex_) = {};
};

class TestInterrupts final : public ByteDevice {
 public:
  static constexpr uint64_t kWindowSize = InterruptPins::kCount;

  // REQUIRES: `pins` outlives the object.
  explicit TestInterrupts(InterruptPins& pins) : pins_(pins) {}

  std::string Name() const override { return "test interrupts"; }

 protected:
  uint8_t ReadByte(uint64_t) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return 0xff; }
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    pins_.SetLevel(static_cast<uint32_t>(offset), value != 0);
  }

 private:
  InterruptPins& pins_;
};

class TestMemory final : public ByteDevice {
 public:
  static constexpr uint64_t kWindowSize = 64 << 10;

  std::string Name() const override { return "test memory"; }

 protected:
  uint8_t ReadByte(uint64_t offset) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return bytes_.empty() ? 0 : bytes_[offset];
  }
  void WriteByte(uint64_t offset, uint8_t value) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    bytes_.resize(kWindowSize);
    bytes_[offset] = value;
  }

 private:
  std::vector<uint8_t> bytes_ ABSL_GUARDED_BY(mutex_);  // Empty: never written.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_TEST_DEVICE_H_
