// For tests of the firmware's tables: facts of machines of any size, and the tables as a guest sees
// them, bytes at physical addresses.
//
// Thread safety: thread-compatible.
#ifndef VMWIRE_TESTS_VMM_FIRMWARE_FIRMWARE_MEMORY_H_
#define VMWIRE_TESTS_VMM_FIRMWARE_FIRMWARE_MEMORY_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "vmm/boot/boot_block.h"
#include "vmm/guest_layout.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// A machine with `devices` virtio devices, every fourth of which has no interrupt.
class TestFacts {
 public:
  explicit TestFacts(uint32_t cpus = 1, uint32_t devices = 0, uint64_t memory_bytes = 64 * kMiB)
      : layout_(GuestLayout::Create(memory_bytes, 46).value()), cpus_(cpus) {
    for (uint32_t i = 0; i < devices; ++i) {
      devices_.push_back({.kind = DeviceKind::kVirtioMmio,
                          .irq = i % 4 == 3 ? 0 : 5 + i % 11,
                          .base = 0xd0000000 + uint64_t{0x1000} * i,
                          .size = 0x1000});
    }
  }

  std::vector<BootInfoDevice>& devices() { return devices_; }
  MachineFacts facts() const { return {.layout = layout_, .cpus = cpus_, .devices = devices_}; }

 private:
  GuestLayout layout_;
  uint32_t cpus_;
  std::vector<BootInfoDevice> devices_;
};

// [0xe0000, 0x100000) with the blocks in it. Reading outside of a block fails the test.
class FirmwareMemory {
 public:
  explicit FirmwareMemory(const std::vector<BootBlock>& blocks) {
    for (const BootBlock& block : blocks) Place(block);
  }

  uint64_t At(uint64_t address, size_t size) const {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= uint64_t{Byte(address + i)} << (8 * i);
    return value;
  }
  uint8_t U8(uint64_t address) const { return Byte(address); }
  uint16_t U16(uint64_t address) const { return static_cast<uint16_t>(At(address, 2)); }
  uint32_t U32(uint64_t address) const { return static_cast<uint32_t>(At(address, 4)); }
  uint64_t U64(uint64_t address) const { return At(address, 8); }
  std::string Text(uint64_t address, size_t size) const {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += static_cast<char>(Byte(address + i));
    return text;
  }
  // Modulo 256.
  uint8_t Sum(uint64_t address, size_t size) const {
    uint32_t sum = 0;
    for (size_t i = 0; i < size; ++i) sum += Byte(address + i);
    return static_cast<uint8_t>(sum);
  }

 private:
  static constexpr uint64_t kStart = 0xe0000;
  static constexpr uint64_t kSize = 0x20000;

  void Place(const BootBlock& block) {
    const uint64_t offset = block.address.value() - kStart;
    ASSERT_LE(offset + block.bytes.size(), kSize) << std::hex << block.address.value();
    for (size_t i = 0; i < block.bytes.size(); ++i) {
      ASSERT_FALSE(written_[offset + i]) << "overlap at 0x" << std::hex << kStart + offset + i;
      written_[offset + i] = true;
      bytes_[offset + i] = std::to_integer<uint8_t>(block.bytes[i]);
    }
  }
  uint8_t Byte(uint64_t address) const {
    const uint64_t offset = address - kStart;
    if (offset >= kSize || !written_[offset]) {
      ADD_FAILURE() << "nothing at 0x" << std::hex << address;
      return 0;
    }
    return bytes_[offset];
  }

  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(kSize);
  std::vector<bool> written_ = std::vector<bool>(kSize);
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_FIRMWARE_FIRMWARE_MEMORY_H_
