// The tags of a Multiboot2 header (Multiboot2 Specification 2.0, 3.1.3 to 3.1.12): what an image
// asks of whoever loads it.
//
//   1 information request   2 addresses   3 entry   4 console flags   5 framebuffer
//   6 module alignment   7 to 9 EFI   10 relocatable
//
// A preferred framebuffer, EFI entries and a range to relocate to are offers of the image that a
// loader need not take: this one loads the image where it was linked, on a machine without display
// and EFI.
//
// Invariants: as multiboot_header.h.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_MULTIBOOT2_TAGS_H_
#define VMWIRE_VMM_BOOT_MULTIBOOT2_TAGS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/multiboot_header.h"

namespace vmwire {

// Adds to `header` what the tags in [start, end) of the file say. Errors as ReadMultibootHeader.
// REQUIRES: [start, end) lies in the file.
absl::Status ReadMultiboot2Tags(const std::string& path, const ByteReader& file, uint64_t start,
                                uint64_t end, MultibootHeader& header);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_MULTIBOOT2_TAGS_H_
