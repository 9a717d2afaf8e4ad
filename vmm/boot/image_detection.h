// Which format a guest image has. Unless --format says it, its content does; the first that holds:
//
//   ELF magic: "vmwire" note               ours, whatever else it has: it was made for this monitor
//              multiboot2, multiboot header the newer protocol first, as boot loaders do; an image
//                                          that has one is made to be entered by it
//              PVH entry note              before Linux: the kernel's own way in, whose entry it
//                                          names, where vmlinux' is a convention
//              note of "Linux" or "Xen"    Linux' vmlinux, which must be ELF64; never ours, whose
//                                          boot info it does not read
//              none of these               ours
//   setup header "HdrS"                    Linux' bzImage; before a boot sector, whose signature it
//                                          has too
//   multiboot2, multiboot header           a kernel in no executable format, with its addresses in
//                                          the header; before a boot sector, for it says more
//   boot sector's signature                flat, for real mode
//
// A multiboot header that must have been meant as one but does not count (see
// CheckNoStrayMultibootHeader) is told of instead of starting the image some other way.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_IMAGE_DETECTION_H_
#define VMWIRE_VMM_BOOT_IMAGE_DETECTION_H_

#include "absl/status/status.h"
#include "vmm/boot/guest_image.h"

namespace vmwire {

// Fills in `image`, whose path and file are set, by the loader of the format that `options` or the
// content say. InvalidArgument: as the loader; no format holds, with what was looked for; a stray
// multiboot header; a flat image without a boot sector's signature has no start mode in `options`.
absl::Status LoadByFormat(const ImageOptions& options, GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_IMAGE_DETECTION_H_
