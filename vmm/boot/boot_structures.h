// All that a guest's start needs in memory beside the image itself.
//
// Invariants: nothing outside the places of vmm/guest_layout.h is written.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_BOOT_STRUCTURES_H_
#define VMWIRE_VMM_BOOT_BOOT_STRUCTURES_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "memory/guest_memory.h"
#include "vmm/boot/guest_image.h"
#include "vmm/guest_layout.h"

namespace vmwire {

// Writes what the image's start mode needs: boot info always; the GDT for all but kReal16; page
// tables, TSS, IDT and exception stubs for the long modes. Memory that a structure does not need is
// not touched. `tsc_khz` and `devices` as WriteBootInfo. Errors as GuestMemory::Write.
absl::Status WriteBootStructures(const GuestLayout& layout, const GuestImage& image,
                                 uint64_t tsc_khz, std::span<const BootInfoDevice> devices,
                                 const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_BOOT_STRUCTURES_H_
