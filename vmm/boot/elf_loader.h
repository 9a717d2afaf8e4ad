// Static ELF64 executables for x86-64 of our own protocol (System V ABI, "Object Files"; AMD64
// supplement).
//
// Segments are loaded at their physical addresses (p_paddr); memory is identity-mapped, so the
// entry is one too. A note with the owner "vmwire" may say how the image starts, see elf_notes.h;
// without it an image starts in long64-ring0. What needs a dynamic linker is refused.
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
// ReadElfFile; an ELF32 image; one that asks for a dynamic linker; an entry outside of the
// executable segments; or `start` is not a long mode.
absl::Status LoadElf(std::optional<StartMode> start, GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_LOADER_H_
