// The block that tells a guest about its machine: see BootInfoHeader in vmm/guest_layout.h.
//
// Invariants: its size field tells how much there is; it fits in one page.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_BOOT_INFO_H_
#define VMWIRE_VMM_BOOT_BOOT_INFO_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "memory/guest_memory.h"
#include "vmm/boot/guest_image.h"
#include "vmm/guest_layout.h"

namespace vmwire {

// Writes the boot info at kBootInfoAddress. `tsc_khz` is the frequency of the guest's time-stamp
// counter, 0 if it is not known; `devices` are those that the ports do not reach; of one whose
// interrupt the PICs do not have, the guest is told that it is to be polled. Errors as
// GuestMemory::Write. REQUIRES: there are at most kMaxBootInfoDevices.
absl::Status WriteBootInfo(const GuestLayout& layout, const GuestImage& image, uint64_t tsc_khz,
                           std::span<const BootInfoDevice> devices, const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_BOOT_INFO_H_
