// The page tables of a long-mode start: an identity map with 2 MiB pages (Intel SDM volume 3,
// 4-level paging).
//
//   PML4 (1 page) -> PDPT (1 page) -> a page directory for each GiB, from kPageTablesAddress
//   upwards
//
// Invariants: the tables end below kLowMemoryEnd, for every memory size that GuestLayout allows.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_PAGE_TABLES_H_
#define VMWIRE_VMM_BOOT_PAGE_TABLES_H_

#include "absl/status/status.h"
#include "memory/guest_memory.h"
#include "vmm/boot/boot_block.h"
#include "vmm/guest_layout.h"

namespace vmwire {

// Whether code at CPL 3 may use the mapped memory.
enum class PageAccess { kSupervisor, kUser };

// Tables, for kPageTablesAddress, where their root is, that map every address below 4 GiB (memory
// and MMIO hole) and all memory above; everything readable, writable and executable.
BootBlock MakePageTables(const GuestLayout& layout, PageAccess access);

// Writes them. Errors as GuestMemory::Write.
absl::Status WritePageTables(const GuestLayout& layout, PageAccess access,
                             const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_PAGE_TABLES_H_
