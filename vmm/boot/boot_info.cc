#include "vmm/boot/boot_info.h"

#include <array>
#include <cstring>
#include <span>

#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {

static_assert(kBootInfoAddress.value() + sizeof(BootInfoHeader) +
                  kMaxBootInfoRanges * sizeof(BootInfoRange) <=
              0x6000);

absl::Status WriteBootInfo(const GuestLayout& layout, const GuestImage& image, uint64_t tsc_khz,
                           const GuestMemory& memory) {
  const size_t count = layout.ram().size();
  VMWIRE_CHECK(count <= kMaxBootInfoRanges, "a layout has at most two ranges");
  std::array<BootInfoRange, kMaxBootInfoRanges> ranges = {};
  for (size_t i = 0; i < count; ++i) {
    ranges[i] = {.start = layout.ram()[i].start().value(), .size = layout.ram()[i].size()};
  }
  BootInfoHeader header = {
      .magic = {},
      .size = static_cast<uint32_t>(sizeof(BootInfoHeader) + count * sizeof(BootInfoRange)),
      .range_count = static_cast<uint32_t>(count),
      .memory_bytes = layout.memory_bytes(),
      .image_start = image.start_address().value(),
      .image_end = image.end_address().value(),
      .tsc_khz = tsc_khz};
  std::memcpy(header.magic, kBootInfoMagic, sizeof(header.magic));
  VMWIRE_RETURN_IF_ERROR(memory.Store(kBootInfoAddress, header));
  return memory.Write(GuestAddress(kBootInfoAddress.value() + sizeof(header)),
                      std::as_bytes(std::span(ranges).first(count)));
}

}  // namespace vmwire
