// Static ELF64 executables for x86-64 (System V ABI, "Object Files"; AMD64 supplement).
//
// Segments are loaded at their physical addresses (p_paddr); memory is identity-mapped, so the
// entry is one too. A note with the owner "vmwire" may say how the image starts, see elf_notes.h;
// without it an image starts in long64-ring0. What needs a dynamic linker is refused.
//
// Invariants: every field is read once, from a copy, inside the bounds of the file.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_ELF_LOADER_H_
#define VMWIRE_VMM_BOOT_ELF_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

// More program headers than any static executable has; keeps hostile files from costing time.
inline constexpr uint32_t kMaxProgramHeaders = 128;

// True if `file` begins with 0x7f 'E' 'L' 'F'.
bool HasElfMagic(std::span<const std::byte> file);

// Fills in `image`, whose path and file are set, from its file; `start` goes before the note.
// InvalidArgument, with the reason and the offset in the file of the field that is wrong: not ELF,
// truncated, another class, byte order or machine, not an executable or a dynamic one, program
// headers that are absent, too many or outside of the file, nothing to load; a segment whose bytes
// are not in the file, that is smaller in memory than in the file, wraps, lies below 1 MiB or
// overlaps another; an entry outside of the executable segments; a malformed note; or `start` is
// not a long mode.
absl::Status LoadElf(std::optional<StartMode> start, GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_LOADER_H_
