#include "vmm/firmware/memory_map.h"

#include <algorithm>

namespace vmwire {

std::vector<MemoryMapEntry> MakeMemoryMap(const GuestLayout& layout) {
  std::vector<MemoryMapEntry> map = {
      {GuestAddress(0), kLowMemoryEnd.value(), MemoryType::kUsable},
      {kFirmwareStart, kFirmwareEnd.value() - kFirmwareStart.value(), MemoryType::kReserved},
  };
  for (const GuestRange& range : layout.ram()) {
    const GuestAddress start = std::max(range.start(), kFirmwareEnd);
    if (start == range.end()) continue;
    map.push_back({start, range.end().value() - start.value(), MemoryType::kUsable});
  }
  return map;
}

}  // namespace vmwire
