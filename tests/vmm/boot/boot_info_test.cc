#include "vmm/boot/boot_info.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>

#include "guests/runtime/vmwire_guest.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"
#include "vmm/boot/elf_notes.h"

namespace vmwire {
namespace {

// The guests' side of the contract says the same as the monitor's.
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

  ASSERT_THAT(WriteBootInfo(layout, ImageAt(0x100000, 0x5123), 2'800'000, memory.memory()), IsOk());

  const BootInfoHeader header = memory.At<BootInfoHeader>(kBootInfoAddress.value());
  EXPECT_EQ(std::memcmp(header.magic, kBootInfoMagic, sizeof(kBootInfoMagic)), 0);
  EXPECT_EQ(uint32_t{header.size}, 48u + 2 * 16);
  EXPECT_EQ(uint32_t{header.range_count}, 2u);
  EXPECT_EQ(uint64_t{header.memory_bytes}, 3 * kGiB + kPageSize);
  EXPECT_EQ(uint64_t{header.image_start}, 0x100000u);
  EXPECT_EQ(uint64_t{header.image_end}, 0x105123u);
  EXPECT_EQ(uint64_t{header.tsc_khz}, 2'800'000u);
  const BootInfoRange second = memory.At<BootInfoRange>(kBootInfoAddress.value() + 48 + 16);
  EXPECT_EQ(uint64_t{second.start}, 4 * kGiB);
  EXPECT_EQ(uint64_t{second.size}, kPageSize);
}

}  // namespace
}  // namespace vmwire
