// Kernels in ELF that name an entry in their notes or are Linux' vmlinux.
//
// PVH (Xen, docs/misc/pvh.pandoc): the note of owner "Xen" and type 18 holds the physical address
// of a 32-bit entry; the image is entered there in protected32.
//
// vmlinux: an ELF64 Linux kernel as it was linked, without the setup code and the compression of a
// bzImage (Linux, Documentation/arch/x86/boot.rst, "64-bit BOOT PROTOCOL"); entered at e_entry in
// long64-ring0.
//
// Invariants: as elf_file.h.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_PVH_LOADER_H_
#define VMWIRE_VMM_BOOT_PVH_LOADER_H_

#include <optional>

#include "absl/status/status.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

// Each fills in `image`, whose path and file are set, from its file.
// InvalidArgument, with the reason and the offset in the file: as ReadElfFile; an entry outside of
// the executable segments; `start` is another than the one above; PVH: no entry note; vmlinux: an
// ELF32 image.
absl::Status LoadPvh(std::optional<StartMode> start, GuestImage& image);
absl::Status LoadVmlinux(std::optional<StartMode> start, GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_PVH_LOADER_H_
