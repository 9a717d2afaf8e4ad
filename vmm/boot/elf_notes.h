// What an ELF image says of itself in its notes (in PT_NOTE segments). Those of the owner "vmwire":
//
//   type 1  start mode of an ELF64 image: one u32, 0 for long64-ring0, 1 for long64-ring3
//   type 2  DMA windows: pairs of u64, guest physical address and length in bytes, page-aligned
//
// guests/runtime/vmwire_guest.h has macros that write these. Of the owner "Xen" (Xen,
// include/public/elfnote.h) type 18 is the entry of PVH, of 32 or 64 bits. The owners "Xen" and
// "Linux" tell a Linux kernel from other executables. All other notes are passed over.
//
// Invariants: what was read is well-formed; an unknown type of our owner is refused.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_ELF_NOTES_H_
#define VMWIRE_VMM_BOOT_ELF_NOTES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "memory/address.h"
#include "memory/page_range.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/elf_header.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

inline constexpr uint32_t kStartModeNote = 1;
inline constexpr uint32_t kDmaWindowsNote = 2;
inline constexpr uint32_t kPvhEntryNote = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
inline constexpr uint64_t kMaxDmaWindows = 256;
// Notes of executables have a few hundred bytes; keeps hostile files from costing time.
inline constexpr uint64_t kMaxNoteSegment = uint64_t{1} << 20;

struct PvhEntry {
  GuestAddress address;
  uint64_t file_offset = 0;  // Of the note's description.
};

struct ElfNotes {
  bool has_own = false;  // There is a note of ours.
  std::optional<StartMode> start;
  std::vector<GuestRange> dma_windows;
  std::optional<PvhEntry> pvh_entry;
  bool has_linux_note = false;   // There is one of the owner "Linux",
  bool is_linux_kernel = false;  // or at least one of "Xen".
};

// Adds to `notes` what the PT_NOTE segment `header` of `file` holds.
// InvalidArgument, by ImageError: the segment or a note in it is not wholly in the file; the
// segment is larger than kMaxNoteSegment, whoever's its notes are (passed over, it could hold the
// one that says what the image is); a note of ours has an unknown type, a wrong size or value, or a
// second start mode; a window that is empty, unaligned or wraps; more than kMaxDmaWindows windows;
// a PVH entry of another size, above 4 GiB or beside another.
absl::Status ReadElfNotes(const std::string& path, const ByteReader& file,
                          const ElfProgramHeader& header, ElfNotes& notes);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_NOTES_H_
