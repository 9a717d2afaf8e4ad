// A walk of the guest's own page tables for one address, entry by entry, for a report.
//
// KVM_TRANSLATE says only where an address ends up, or that it does not; this says which entry is
// to blame.
//
// Invariants: tables are the guest's: a walk reads at most 5 entries, whatever they hold, and
// always has an end. Nothing is changed, accessed and dirty flags neither.
// Thread safety: values; the guest may change its tables meanwhile.
#ifndef VMWIRE_VMM_PAGE_WALK_H_
#define VMWIRE_VMM_PAGE_WALK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memory/guest_memory.h"
#include "vmm/kvm_abi.h"

namespace vmwire {

// Intel SDM volume 3, 4.1.1.
enum class PagingMode { kNone, k32Bit, kPae, k4Level, k5Level };

// The mode that CR0.PG, CR4.PAE, CR4.LA57 and EFER.LMA say.
PagingMode PagingModeOf(const kvm_sregs& sregs);
// "paging off", "32-bit", "PAE", "4-level", "5-level".
std::string ToString(PagingMode mode);

struct PageWalkStep {
  std::string table;  // "PML4", "PDPT", "PD", "PT", ...
  uint32_t index = 0;
  uint64_t address = 0;           // Guest physical, of the entry.
  std::optional<uint64_t> entry;  // Nullopt: there is no memory at `address`.
};

struct PageWalk {
  uint64_t linear = 0;
  PagingMode mode = PagingMode::kNone;
  uint64_t root = 0;  // CR3.
  std::vector<PageWalkStep> steps;
  // Where the address lies; nullopt: the walk ends before.
  std::optional<uint64_t> physical;
  uint64_t page_size = 0;  // Of the page that maps it; 0 if none does.
  bool is_memory = false;  // There is guest memory at `physical`.
  // What all entries together allow.
  bool is_writable = true;
  bool is_user = true;
  bool is_executable = true;
  std::string why;  // Why it ends without `physical`: "the PD entry is not present".

  // Several lines, each ended, the first of which is "  page walk of `name` 0x...".
  std::string ToString(const std::string& name) const;
};

// Walks to the linear address `linear`, with the tables that `sregs` name. Reserved bits are not
// checked. (Under PAE a CPU reads the first table when CR3 is loaded; here it is read anew.)
PageWalk WalkPages(uint64_t linear, const kvm_sregs& sregs, const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_PAGE_WALK_H_
