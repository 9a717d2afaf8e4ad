// Kernels of the Multiboot Specification 0.6.96 and the Multiboot2 Specification 2.0: loaded by the
// addresses in their header if it has them, else as ELF of either class; entered in protected32.
//
// The entry is physical; that of an ELF image may be linked at its virtual address, see
// KernelEntry.
//
// Invariants: segments and entry lie below 4 GiB.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_MULTIBOOT_LOADER_H_
#define VMWIRE_VMM_BOOT_MULTIBOOT_LOADER_H_

#include <optional>

#include "absl/status/status.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/multiboot_header.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

// Fills in `image`, whose path and file are set, from its file.
// InvalidArgument, with the reason and the offset in the file: as ReadMultibootHeader; addresses
// that contradict each other or the file, or lie below 1 MiB; without addresses as ReadElfFile, or
// the file is not ELF; a segment that ends, or an entry that lies, beyond 4 GiB; an entry outside
// of the executable segments; `start` is another than kProtected32.
absl::Status LoadMultiboot(MultibootVersion version, std::optional<StartMode> start,
                           GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_MULTIBOOT_LOADER_H_
