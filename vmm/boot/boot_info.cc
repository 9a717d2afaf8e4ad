#include "vmm/boot/boot_info.h"

#include <cstring>
#include <vector>

#include "memory/check.h"

namespace vmwire {
namespace {

static_assert(kBootInfoAddress.value() + sizeof(BootInfoHeader) +
                  kMaxBootInfoRanges * sizeof(BootInfoRange) + sizeof(uint64_t) +
                  kMaxBootInfoDevices * sizeof(BootInfoDevice) <=
              0x6000);

constexpr uint32_t kPicLines = 16;

template <typename T>
void Append(const T& object, std::vector<std::byte>& block) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(&object, 1));
  block.insert(block.end(), bytes.begin(), bytes.end());
}

}  // namespace

absl::Status WriteBootInfo(const GuestLayout& layout, const GuestImage& image, uint64_t tsc_khz,
                           std::span<const BootInfoDevice> devices, const GuestMemory& memory) {
  const size_t ranges = layout.ram().size();
  VMWIRE_CHECK(ranges <= kMaxBootInfoRanges, "a layout has at most two ranges");
  VMWIRE_CHECK(devices.size() <= kMaxBootInfoDevices, "boot info has no room for more devices");
  const uint64_t device_count = devices.size();
  BootInfoHeader header = {
      .magic = {},
      .size = static_cast<uint32_t>(sizeof(BootInfoHeader) + ranges * sizeof(BootInfoRange) +
                                    sizeof(device_count) + devices.size_bytes()),
      .range_count = static_cast<uint32_t>(ranges),
      .memory_bytes = layout.memory_bytes(),
      .image_start = image.start_address().value(),
      .image_end = image.end_address().value(),
      .tsc_khz = tsc_khz};
  std::memcpy(header.magic, kBootInfoMagic, sizeof(header.magic));
  std::vector<std::byte> block;
  Append(header, block);
  for (const GuestRange& range : layout.ram()) {
    Append(BootInfoRange{.start = range.start().value(), .size = range.size()}, block);
  }
  Append(device_count, block);
  for (BootInfoDevice device : devices) {
    // A guest that finds no tables of the I/O APIC knows nothing of its other pins.
    if (device.irq >= kPicLines) device.irq = 0;
    Append(device, block);
  }
  return memory.Write(kBootInfoAddress, block);
}

}  // namespace vmwire
