// The headers of an ELF image, of either class, and what of them decides whether the image can be a
// guest at all.
//
// Invariants: a header that was read is that of an executable for x86; an ELF64 one is for x86-64.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_ELF_HEADER_H_
#define VMWIRE_VMM_BOOT_ELF_HEADER_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/boot/byte_reader.h"

namespace vmwire {

// More program headers than any static executable has; keeps hostile files from costing time.
inline constexpr uint32_t kMaxProgramHeaders = 128;

// What of Elf32_Ehdr or Elf64_Ehdr is used.
struct ElfHeader {
  bool is_64 = false;
  uint16_t machine = 0;
  uint64_t entry = 0;
  uint64_t entry_offset = 0;  // Of e_entry in the file.
  uint64_t table_offset = 0;  // Of the program headers.
  uint32_t count = 0;
};

// What of Elf32_Phdr or Elf64_Phdr is used, and where in the file its fields lie.
struct ElfProgramHeader {
  uint32_t index = 0;
  uint32_t type = 0;
  uint32_t flags = 0;
  uint64_t offset = 0;
  uint64_t virtual_address = 0;
  uint64_t physical_address = 0;
  uint64_t file_size = 0;
  uint64_t memory_size = 0;
  uint64_t alignment = 0;

  struct FieldOffsets {
    uint64_t type = 0;
    uint64_t offset = 0;
    uint64_t physical_address = 0;
    uint64_t file_size = 0;
    uint64_t memory_size = 0;
  };
  FieldOffsets at = {};
};

// True if `file` begins with 0x7f 'E' 'L' 'F'.
bool HasElfMagic(std::span<const std::byte> file);

// The header, if it is that of an x86 executable whose table of program headers lies in the file.
// InvalidArgument, by ImageError: not ELF, truncated, another byte order, class or machine (ELF32:
// i386 or x86-64, ELF64: x86-64), not an executable or a dynamic one, program headers that are
// absent, more than kMaxProgramHeaders, of another size or outside of the file.
absl::StatusOr<ElfHeader> ReadElfHeader(const std::string& path, const ByteReader& file);

// Program header `index`. InvalidArgument, by ImageError: it does not lie in the file.
// REQUIRES: `header` is of `file`, `index` below its count.
absl::StatusOr<ElfProgramHeader> ReadElfProgramHeader(const std::string& path,
                                                      const ElfHeader& header, uint32_t index,
                                                      const ByteReader& file);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_HEADER_H_
