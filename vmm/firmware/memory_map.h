// The memory of a machine as a PC's firmware describes it: what is memory, and what of it the guest
// must leave alone.
//
// Invariants: entries are ascending, disjoint and not empty.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_MEMORY_MAP_H_
#define VMWIRE_VMM_FIRMWARE_MEMORY_MAP_H_

#include <cstdint>
#include <vector>

#include "memory/address.h"
#include "vmm/guest_layout.h"

namespace vmwire {

// The numbers are those of an E820 map (ACPI 6.4, table 15.4), which multiboot and PVH share.
enum class MemoryType : uint32_t { kUsable = 1, kReserved = 2 };

struct MemoryMapEntry {
  GuestAddress start;
  uint64_t size;
  MemoryType type;

  friend bool operator==(const MemoryMapEntry&, const MemoryMapEntry&) = default;
};

// Usable: conventional memory below kLowMemoryEnd, all from 1 MiB to the hole, and all above it.
// Reserved: where the firmware's tables lie, [kFirmwareStart, kFirmwareEnd). A PC's video memory
// between is neither, as far as the layout has it at all.
std::vector<MemoryMapEntry> MakeMemoryMap(const GuestLayout& layout);

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_MEMORY_MAP_H_
