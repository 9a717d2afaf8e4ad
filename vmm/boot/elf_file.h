// What an ELF executable holds, of either class: its loadable segments, its notes, its entry. How
// it is entered is for the loader of its boot protocol: elf_loader.h, multiboot_loader.h,
// pvh_loader.h.
//
// Segments lie at their physical addresses (p_paddr) (System V ABI, "Object Files").
//
// Invariants: every field is read once, from a copy, inside the bounds of the file. Of a file that
// was read: at least one segment; segments are in the order of their addresses, not empty,
// disjoint, do not wrap, begin at kImageAddress or above, and their bytes lie in the file.
// Thread safety: values.
#ifndef VMWIRE_VMM_BOOT_ELF_FILE_H_
#define VMWIRE_VMM_BOOT_ELF_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/elf_header.h"
#include "vmm/boot/elf_notes.h"
#include "vmm/boot/guest_image.h"

namespace vmwire {

// A loadable segment and where it was linked.
struct ElfSegment {
  ImageSegment segment;
  uint64_t virtual_address = 0;
  uint32_t index = 0;           // Of its program header.
  uint64_t address_offset = 0;  // In the file, of p_paddr.
};

struct ElfFile {
  ElfHeader header;
  std::vector<ElfSegment> segments;
  ElfNotes notes;
  // A program header that asks for a dynamic linker, if there is one.
  std::optional<ElfProgramHeader> dynamic;

  std::vector<ImageSegment> ImageSegments() const;
};

// InvalidArgument, by ImageError: as ReadElfHeader and ReadElfNotes; nothing to load; a segment
// whose bytes are not in the file, that is smaller in memory than in the file, wraps, lies below
// 1 MiB or overlaps another.
absl::StatusOr<ElfFile> ReadElfFile(const std::string& path, const ByteReader& file);

// True if `address` lies in an executable segment.
bool IsExecutable(const std::vector<ImageSegment>& segments, GuestAddress address);

// The physical address of the entry of a kernel: e_entry, if that lies in an executable segment;
// else, for kernels whose entry is linked at its virtual address, the physical address that belongs
// to it. InvalidArgument, by ImageError: it lies in no executable segment either way.
absl::StatusOr<GuestAddress> KernelEntry(const std::string& path, const ElfFile& elf);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_FILE_H_
