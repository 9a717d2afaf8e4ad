// Linux' bzImage: real-mode setup code with a header, and after it the kernel, which unpacks itself
// (Linux, Documentation/arch/x86/boot.rst). Other programs use the form too: memtest86+.
//
//   file:    boot sector | setup sectors, the header from 0x1f1 on | kernel
//   memory:  kernel at its preferred address, and room to unpack itself (init_size)
//
// The setup code is not run: the kernel is entered at its 64-bit entry, 0x200 bytes in, or at its
// 32-bit entry, its first byte, with the header as part of the zero page (linux_plan.h).
//
// Invariants: every field is read once, from a copy, inside the bounds of the file.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_BZIMAGE_LOADER_H_
#define VMWIRE_VMM_BOOT_BZIMAGE_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

// The first byte of the setup header, in the file and in the zero page.
inline constexpr uint64_t kSetupHeaderOffset = 0x1f1;

// True if `file` has the boot sector's signature at 0x1fe and "HdrS" at 0x202.
bool HasLinuxSetupHeader(std::span<const std::byte> file);

// Fills in format, start, entry, segments and linux_setup of `image`, whose path and file are set.
// Without `start` the 64-bit entry is used if the kernel has one, else the 32-bit entry; with
// kProtected32 the latter.
// InvalidArgument, with the reason and for a malformed file the offset in it of the field that is
// wrong: no setup header; one that its jump does not lead past, that ends before the fields of its
// version, or that the file does not hold; a version below 2.06; a kernel for low memory (zImage);
// setup sectors or a kernel that the file does not hold whole; an alignment that is no power of 2;
// a kernel that would reach past 4 GiB; a 64-bit entry outside of the kernel; a version text
// outside of the setup sectors or without an end; or `start` is neither kProtected32 nor
// kLong64Ring0, or kLong64Ring0 and the kernel has no 64-bit entry.
absl::Status LoadBzImage(std::optional<StartMode> start, GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_BZIMAGE_LOADER_H_
