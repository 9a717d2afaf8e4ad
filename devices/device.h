// What a device model is to the machine: something that answers reads and writes at offsets of its
// own window.
//
// A device is given an offset and bytes, never an address and never a pointer into guest memory. It
// does not know where the bus put it.
//
// Invariants: the bytes of an access are the guest's: any offset, size and value within the window
// may come, in any order, and none of them may end the process or grow host memory without bound.
// Thread safety: called from the thread of the vCPU that made the access, one access of a bus at a
// time (bus.h). What else a device has threads for is its own affair.
#ifndef VMWIRE_DEVICES_DEVICE_H_
#define VMWIRE_DEVICES_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vmwire {

class Device {
 public:
  virtual ~Device() = default;

  // For messages, for example "serial 16550A".
  virtual std::string Name() const = 0;

  // Fills all of `data`, which stands for the bytes from `offset` of the window. What is not
  // readable reads as all ones, as on a bus that nobody drives. There is no error: real hardware
  // has none to give. REQUIRES: [offset, offset + data.size()) lies in the window; data is not
  // empty.
  virtual void Read(uint64_t offset, std::span<std::byte> data) = 0;

  // Takes the bytes of `data` at `offset`. What is not writable is ignored. REQUIRES: as Read.
  virtual void Write(uint64_t offset, std::span<const std::byte> data) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DEVICE_H_
