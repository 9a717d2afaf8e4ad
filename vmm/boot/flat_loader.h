// Flat images: bytes without a header.
//
// Invariants: an image that was loaded has one segment, which holds its entry.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_FLAT_LOADER_H_
#define VMWIRE_VMM_BOOT_FLAT_LOADER_H_

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

// True if `file` ends its first 512 bytes with 0x55 0xaa, as a PC's firmware asks of a boot sector.
bool HasBootSignature(std::span<const std::byte> file);

// Makes `image`, whose path and file are set, one segment of all of the file: at 0x7c00 for
// kReal16, at 1 MiB for the others; it is entered at its first byte.
// InvalidArgument: for kReal16 the file does not end below kLowMemoryEnd.
// REQUIRES: image.file is not empty and at most kMaxImageFileSize.
absl::Status LoadFlat(StartMode start, GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_FLAT_LOADER_H_
