// The ports of the "PC test device", as test kernels (kvm-unit-tests) know it from another monitor.
//
//   0..3   0xe0: four bytes that read back what was written, by accesses of any size
//   4..7   0xe4: "flush": takes the address of a page that the monitor is to drop from its own
//          tables. Nothing here depends on that; writes are dropped
//   8..11  0xe8: the four bytes of 0xe0 again
//
// Left out: the interrupt lines at 0x2000 (the lines are KVM's) and the memory window at
// 0xff000000. A test that uses them sees absent ports or memory: writes are dropped, reads give all
// ones.
//
// Invariants: none.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_PC_TEST_DEVICE_H_
#define VMWIRE_DEVICES_PC_TEST_DEVICE_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
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

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_TEST_DEVICE_H_
