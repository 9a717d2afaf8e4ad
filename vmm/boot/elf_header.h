// The file header of an ELF image, and what of it decides whether the image can be a guest.
//
// Invariants: a header that was read is that of a static x86-64 executable.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_ELF_HEADER_H_
#define VMWIRE_VMM_BOOT_ELF_HEADER_H_

#include <elf.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/boot/byte_reader.h"

namespace vmwire {

// InvalidArgument "PATH: REASON (at file offset 0xN)": how all of the ELF loader's errors read.
absl::Status ElfError(const std::string& path, uint64_t offset, const std::string& reason);

// The header, if it is that of an x86-64 executable whose table of program headers lies in the
// file. InvalidArgument, by ElfError: it is not; see LoadElf.
absl::StatusOr<Elf64_Ehdr> ReadElfHeader(const std::string& path, const ByteReader& file);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_ELF_HEADER_H_
