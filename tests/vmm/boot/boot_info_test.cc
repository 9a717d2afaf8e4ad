#include "vmm/boot/boot_info.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "guests/runtime/vmwire_guest.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"
#include "vmm/boot/elf_notes.h"

namespace vmwire {
namespace {

// The guests' side of the contract says the same as the monitor's.
static_assert(VMWIRE_IDT_ADDRESS == kIdtAddress.value());
static_assert(VMWIRE_BOOT_INFO_ADDRESS == kBootInfoAddress.value());
static_assert(sizeof(VMWIRE_BOOT_INFO_MAGIC) == sizeof(kBootInfoMagic));
static_assert(VMWIRE_SERIAL_PORT == kSerialPort);
static_assert(VMWIRE_EXIT_PORT == kExitPort);
static_assert(VMWIRE_EXCEPTION_PORT == kExceptionPort);
static_assert(VMWIRE_IMAGE_ADDRESS == kImageAddress.value());
static_assert(sizeof(vmwire_range) == sizeof(BootInfoRange));
static_assert(offsetof(vmwire_range, size) == offsetof(BootInfoRange, size));
static_assert(sizeof(vmwire_boot_info) == sizeof(BootInfoHeader));
static_assert(offsetof(vmwire_boot_info, size) == offsetof(BootInfoHeader, size));
static_assert(offsetof(vmwire_boot_info, range_count) == offsetof(BootInfoHeader, range_count));
static_assert(offsetof(vmwire_boot_info, memory_bytes) == offsetof(BootInfoHeader, memory_bytes));
static_assert(offsetof(vmwire_boot_info, image_start) == offsetof(BootInfoHeader, image_start));
static_assert(offsetof(vmwire_boot_info, image_end) == offsetof(BootInfoHeader, image_end));
static_assert(offsetof(vmwire_boot_info, tsc_khz) == offsetof(BootInfoHeader, tsc_khz));
static_assert(offsetof(vmwire_boot_info, ranges) == sizeof(BootInfoHeader));
static_assert(sizeof(vmwire_device) == sizeof(BootInfoDevice));
static_assert(offsetof(vmwire_device, kind) == offsetof(BootInfoDevice, kind));
static_assert(offsetof(vmwire_device, irq) == offsetof(BootInfoDevice, irq));
static_assert(offsetof(vmwire_device, base) == offsetof(BootInfoDevice, base));
static_assert(offsetof(vmwire_device, size) == offsetof(BootInfoDevice, size));
static_assert(VMWIRE_DEVICE_VIRTIO_MMIO == static_cast<uint32_t>(DeviceKind::kVirtioMmio));
static_assert(VMWIRE_DEVICE_DMA_ENGINE == static_cast<uint32_t>(DeviceKind::kDmaEngine));

GuestImage ImageAt(uint64_t start, uint64_t size) {
  GuestImage image;
  image.segments = {{.address = GuestAddress(start), .memory_size = 0x10},
                    {.address = GuestAddress(start + 0x1000), .memory_size = size - 0x1000}};
  return image;
}

TEST(BootInfo, MagicIsTheGuests) {
  EXPECT_EQ(std::memcmp(VMWIRE_BOOT_INFO_MAGIC, kBootInfoMagic, sizeof(kBootInfoMagic)), 0);
}

TEST(BootInfo, DescribesMemoryAndImage) {
  const BootMemory memory(kMiB);
  const GuestLayout layout = *GuestLayout::Create(3 * kGiB + kPageSize, 46);

  ASSERT_THAT(WriteBootInfo(layout, ImageAt(0x100000, 0x5123), 2'800'000, {}, memory.memory()),
              IsOk());

  const BootInfoHeader header = memory.At<BootInfoHeader>(kBootInfoAddress.value());
  EXPECT_EQ(std::memcmp(header.magic, kBootInfoMagic, sizeof(kBootInfoMagic)), 0);
  EXPECT_EQ(uint32_t{header.size}, 48u + 2 * 16 + 8);
  EXPECT_EQ(uint32_t{header.range_count}, 2u);
  EXPECT_EQ(uint64_t{header.memory_bytes}, 3 * kGiB + kPageSize);
  EXPECT_EQ(uint64_t{header.image_start}, 0x100000u);
  EXPECT_EQ(uint64_t{header.image_end}, 0x105123u);
  EXPECT_EQ(uint64_t{header.tsc_khz}, 2'800'000u);
  const BootInfoRange second = memory.At<BootInfoRange>(kBootInfoAddress.value() + 48 + 16);
  EXPECT_EQ(uint64_t{second.start}, 4 * kGiB);
  EXPECT_EQ(uint64_t{second.size}, kPageSize);
  EXPECT_EQ(memory.At<uint64_t>(kBootInfoAddress.value() + 48 + 2 * 16), 0u) << "devices";
}

// What the monitor wrote, read by the guests' own functions.
class BootInfoDevices : public testing::Test {
 protected:
  void Write(std::span<const BootInfoDevice> devices) {
    ASSERT_THAT(WriteBootInfo(*GuestLayout::Create(4 * kMiB, 46), ImageAt(0x100000, 0x2000), 0,
                              devices, memory_.memory()),
                IsOk());
    block_ = memory_.At<Block>(kBootInfoAddress.value());
  }
  const vmwire_boot_info* info() const {
    return reinterpret_cast<const vmwire_boot_info*>(block_.bytes);
  }

 private:
  struct Block {
    std::byte bytes[kPageSize];
  };

  BootMemory memory_{kMiB};
  Block block_ = {};
};

TEST_F(BootInfoDevices, GuestFindsThemByKindInTheirOrder) {
  const BootInfoDevice devices[] = {
      {.kind = DeviceKind::kVirtioMmio, .irq = 5, .base = 0xd0000000, .size = 0x1000},
      {.kind = DeviceKind::kDmaEngine, .irq = 6, .base = 0xd0001000, .size = 0x1000},
      {.kind = DeviceKind::kVirtioMmio, .irq = 0, .base = 0xd0002000, .size = 0x1000}};

  Write(devices);

  EXPECT_EQ(guest_device_count(info()), 3u);
  const vmwire_device* const engine = guest_device(info(), VMWIRE_DEVICE_DMA_ENGINE, 0);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(uint32_t{engine->irq}, 6u);
  EXPECT_EQ(uint64_t{engine->base}, 0xd0001000u);
  const vmwire_device* const second = guest_device(info(), VMWIRE_DEVICE_VIRTIO_MMIO, 1);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(uint64_t{second->base}, 0xd0002000u);
  EXPECT_EQ(uint64_t{second->size}, 0x1000u);
}

TEST_F(BootInfoDevices, GuestIsToldOfLinesOfThePicsOnly) {
  const BootInfoDevice devices[] = {
      {.kind = DeviceKind::kVirtioMmio, .irq = 15, .base = 0xd0000000, .size = 0x1000},
      {.kind = DeviceKind::kVirtioMmio, .irq = 16, .base = 0xd0001000, .size = 0x1000}};

  Write(devices);

  EXPECT_EQ(uint32_t{guest_device(info(), VMWIRE_DEVICE_VIRTIO_MMIO, 0)->irq}, 15u);
  EXPECT_EQ(uint32_t{guest_device(info(), VMWIRE_DEVICE_VIRTIO_MMIO, 1)->irq}, 0u);
}

TEST_F(BootInfoDevices, GuestFindsNoneThatIsNotThere) {
  const BootInfoDevice devices[] = {
      {.kind = DeviceKind::kVirtioMmio, .irq = 5, .base = 0xd0000000, .size = 0x1000}};

  Write(devices);

  EXPECT_EQ(guest_device(info(), VMWIRE_DEVICE_VIRTIO_MMIO, 1), nullptr);
  EXPECT_EQ(guest_device(info(), VMWIRE_DEVICE_DMA_ENGINE, 0), nullptr);
}

TEST_F(BootInfoDevices, MostDevicesFit) {
  const std::vector<BootInfoDevice> devices(
      kMaxBootInfoDevices,
      {.kind = DeviceKind::kDmaEngine, .irq = 0, .base = 0xd0000000, .size = 0x1000});

  Write(devices);

  EXPECT_EQ(guest_device_count(info()), kMaxBootInfoDevices);
  EXPECT_NE(guest_device(info(), VMWIRE_DEVICE_DMA_ENGINE, kMaxBootInfoDevices - 1), nullptr);
}

}  // namespace
}  // namespace vmwire
