// How Linux is entered: the zero page, the command line, and registers and tables as its 32-bit and
// 64-bit boot protocols ask for (Linux, Documentation/arch/x86/boot.rst and zero-page.rst).
//
// The kernel's setup code is not run, so what it would ask the firmware for is told here: the
// memory map, where the initrd and the command line lie, and the RSDP. There is no screen.
//
// Invariants: as boot_plan.h.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_LINUX_PLAN_H_
#define VMWIRE_VMM_BOOT_LINUX_PLAN_H_

#include "absl/status/statusor.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/boot/guest_image.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// InvalidArgument: the command line, with what `facts` adds to it, is longer than the kernel takes
// or than there is room for (both numbers are named); as PlaceModules.
// REQUIRES: the format is kBzImage or kVmlinux, the start is kProtected32 or kLong64Ring0, there is
// at most one module, the initrd, and the image fits the layout.
absl::StatusOr<BootPlan> PlanLinux(const GuestImage& image, const MachineFacts& facts);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_LINUX_PLAN_H_
