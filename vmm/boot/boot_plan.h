// What the protocol of an image puts into guest memory beside the image, and how the first CPU
// enters: the answer of each boot protocol but our own (boot_structures.h).
//
//   0x1000 GDT   0x7000 Linux' zero page   0x8000 command line   0x9000 multiboot or PVH
//   information 0x10000.. page tables (64-bit entry)   0xe0000..0x100000 firmware tables   modules:
//   high, below 3 GiB
//
// Invariants: blocks and modules lie in memory, disjoint from each other and from the segments.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_BOOT_PLAN_H_
#define VMWIRE_VMM_BOOT_BOOT_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/guest_memory.h"
#include "memory/page_range.h"
#include "vmm/boot/boot_block.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_state.h"
#include "vmm/machine_facts.h"

namespace vmwire {

struct BootPlan {
  std::vector<BootBlock> blocks;
  std::vector<GuestAddress> modules;  // Where each of the image's modules lies.
  StartState start;
};

// One past the highest address that a module of the image may take: 3 GiB, or what a Linux kernel
// says of itself.
uint64_t ModulesEnd(const GuestImage& image);

// The least memory size, in whole MiB, with which PlaceModules succeeds; nullopt if none is enough.
std::optional<uint64_t> MemoryNeededByModules(const GuestImage& image);

// Where each of the image's modules goes: whole pages, as high as ModulesEnd and the memory below
// it allow, in ascending order, clear of the segments. InvalidArgument, naming the module and the
// memory size to ask for: there is no room.
absl::StatusOr<std::vector<GuestAddress>> PlaceModules(const GuestImage& image,
                                                       const GuestLayout& layout);

// InvalidArgument: as PlaceModules; a command line longer than the protocol takes; the image's
// segments reach into the places above. REQUIRES: the image has a protocol of another's, not
// BootProtocol::kVmwire, and fits the layout.
absl::StatusOr<BootPlan> PlanBoot(const GuestImage& image, const MachineFacts& facts);

// Writes the blocks and the image's modules. Errors as GuestMemory::Write. REQUIRES: `plan` is of
// `image`.
absl::Status WriteBootPlan(const BootPlan& plan, const GuestImage& image,
                           const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_BOOT_PLAN_H_
