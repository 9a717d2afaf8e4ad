// Static executables of our own protocol, ELF64 for x86-64 and ELF32 for i386 (System V ABI,
// "Object Files"; AMD64 and Intel386 supplements).
//
// Segments are loaded at their physical addresses (p_paddr); memory is identity-mapped or not
// mapped at all, so the entry is one too. An ELF32 image starts in protected32. Of an ELF64 image a
// note with the owner "vmwire" may say how it starts, see elf_notes.h; without it that is
// long64-ring0. What needs a dynamic linker is refused.
//
// Invariants: as elf_file.h.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_ELF_LOADER_H_
#define VMWIRE_VMM_BOOT_ELF_LOADER_H_

#include <optional>

#include "absl/status/status.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

// Fills in `image`, whose path and file are set, from its file; `start` goes before the note.
// InvalidArgument, with the reason and the offset in the file of the field that is wrong: as
// ReadElfFile; an ELF32 image that is not for i386; one that asks for a dynamic linker; an entry
// outside of the executable segments; or, naming --start, a start mode (that of `start`, else the
// note's) that is not a long mode for ELF64, or not protected32 for ELF32.
absl::Status LoadElf(std::optional<StartMode> start, GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_LOADER_H_
