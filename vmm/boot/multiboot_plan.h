// What a multiboot kernel is told: the information structure of the Multiboot Specification 0.6.96
// (section 3.3) or the tags of the Multiboot2 Specification 2.0 (section 3.6), and the registers of
// its entry (3.2 and 3.3).
//
// Told are memory, command line, modules, the boot loader's name, and by multiboot2 the RSDP. Not
// told, for there is none: boot device, symbols, drives, APM, VBE, framebuffer, EFI.
//
// Invariants: as boot_plan.h.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_MULTIBOOT_PLAN_H_
#define VMWIRE_VMM_BOOT_MULTIBOOT_PLAN_H_

#include "absl/status/statusor.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/boot/guest_image.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// InvalidArgument: as PlaceModules and CheckCommandLine; all of it has no room below
// kProtocolInfoEnd. REQUIRES: the format is the one in the name, and the image fits the layout.
absl::StatusOr<BootPlan> PlanMultiboot1(const GuestImage& image, const MachineFacts& facts);
absl::StatusOr<BootPlan> PlanMultiboot2(const GuestImage& image, const MachineFacts& facts);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_MULTIBOOT_PLAN_H_
