// A part of a device as a device: for one that has ports in several places.
//
// Invariants: none.
// Thread safety: as the whole.
#ifndef VMWIRE_DEVICES_PC_DEVICE_PART_H_
#define VMWIRE_DEVICES_PC_DEVICE_PART_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "devices/device.h"

namespace vmwire {

class DevicePart final : public Device {
 public:
  // What `whole` has at `start` and after. REQUIRES: `whole` outlives the part; the window that the
  // part is given ends where the whole's registers do.
  DevicePart(Device& whole, uint64_t start) : whole_(whole), start_(start) {}

  std::string Name() const override { return whole_.Name(); }
  void Read(uint64_t offset, std::span<std::byte> data) override {
    whole_.Read(start_ + offset, data);
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    whole_.Write(start_ + offset, data);
  }

 private:
  Device& whole_;
  const uint64_t start_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_PC_DEVICE_PART_H_
