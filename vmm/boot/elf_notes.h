// What an ELF image says of itself in notes with the owner "vmwire" (in PT_NOTE segments).
//
//   type 1  start mode: one u32, 0 for long64-ring0, 1 for long64-ring3
//   type 2  DMA windows: pairs of u64, guest physical address and length in bytes, page-aligned
//
// Notes of other owners are passed over. guests/runtime/vmwire_guest.h has macros that write these.
//
// Invariants: what was read is well-formed; an unknown type of our owner is refused.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_ELF_NOTES_H_
#define VMWIRE_VMM_BOOT_ELF_NOTES_H_

#include <elf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "memory/page_range.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

inline constexpr uint32_t kStartModeNote = 1;
inline constexpr uint32_t kDmaWindowsNote = 2;
inline constexpr uint64_t kMaxDmaWindows = 256;

struct ElfNotes {
  std::optional<StartMode> start;
  std::vector<GuestRange> dma_windows;
};

// Adds to `notes` what the PT_NOTE segment `header` of `file` holds.
// InvalidArgument, by ElfError: the segment or a note in it is not wholly in the file; a note of
// ours has an unknown type, a wrong size or value, or a second start mode; a window that is empty,
// unaligned or wraps; more than kMaxDmaWindows windows.
absl::Status ReadElfNotes(const std::string& path, const ByteReader& file, const Elf64_Phdr& header,
                          ElfNotes& notes);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_NOTES_H_
