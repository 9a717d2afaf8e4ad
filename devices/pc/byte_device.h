// A device whose registers are one byte wide, as most of a PC's are: an access of several bytes is
// that many of one byte at ascending offsets, as an 8-bit device on the bus sees it.
//
// Invariants: none of its own.
// Lock order: the one lock of the device, a leaf, is held over a whole access.
// Thread safety: thread-safe; the registers are looked at under the lock.
#ifndef VMWIRE_DEVICES_PC_BYTE_DEVICE_H_
#define VMWIRE_DEVICES_PC_BYTE_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "devices/device.h"
#include "memory/mutex.h"

namespace vmwire {

class ByteDevice : public Device {
 public:
  void Read(uint64_t offset, std::span<std::byte> data) final {
    const MutexLock lock(mutex_);
    BeginAccess();
    for (size_t i = 0; i < data.size(); ++i) data[i] = std::byte{ReadByte(offset + i)};
  }
  void Write(uint64_t offset, std::span<const std::byte> data) final {
    const MutexLock lock(mutex_);
    BeginAccess();
    for (size_t i = 0; i < data.size(); ++i) {
      WriteByte(offset + i, std::to_integer<uint8_t>(data[i]));
    }
  }

 protected:
  // Before the first byte of an access: to look at a clock once for all of them.
  virtual void BeginAccess() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {}
  // 0xff where nothing can be read.
  virtual uint8_t ReadByte(uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  virtual void WriteByte(uint64_t offset, uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;

  mutable Mutex mutex_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_BYTE_DEVICE_H_
