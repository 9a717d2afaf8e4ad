// What a PVH kernel is told: hvm_start_info version 1, its list of modules and its memory map (Xen,
// include/public/arch-x86/hvm/start_info.h), and the registers of its entry (docs/misc/pvh.pandoc).
//
// Invariants: as boot_plan.h.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_PVH_PLAN_H_
#define VMWIRE_VMM_BOOT_PVH_PLAN_H_

#include "absl/status/statusor.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/boot/guest_image.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// InvalidArgument: as PlaceModules and CheckCommandLine. REQUIRES: the format is kPvh, there is at
// most one module, and the image fits the layout.
absl::StatusOr<BootPlan> PlanPvh(const GuestImage& image, const MachineFacts& facts);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_PVH_PLAN_H_
