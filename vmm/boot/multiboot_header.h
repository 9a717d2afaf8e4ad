// The header that an image of the Multiboot Specification 0.6.96 or the Multiboot2 Specification
// 2.0 has near its beginning: finding and reading it (section 3.1 of both).
//
//   version  magic       contained in the first  aligned to  sum of the first words is zero
//   1        0x1badb002   8192 bytes             4           3: magic, flags, checksum
//   2        0xe85250d6  32768 bytes             8           4: magic, architecture, length,
//   checksum
//
// Invariants: every field is read once, from a copy, inside the bounds of the file and of the part
// of it that may hold a header.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_MULTIBOOT_HEADER_H_
#define VMWIRE_VMM_BOOT_MULTIBOOT_HEADER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/boot/byte_reader.h"

namespace vmwire {

enum class MultibootVersion { k1, k2 };

// "multiboot", "multiboot2".
std::string ToString(MultibootVersion version);

// Where an image without ELF header says that it is to be loaded. Physical addresses.
struct MultibootAddresses {
  uint64_t file_offset = 0;  // Of these four fields, 4 bytes each, in the file.
  uint32_t header = 0;       // Of the header itself.
  uint32_t load = 0;
  uint32_t load_end = 0;  // 0: all of the file.
  uint32_t bss_end = 0;   // 0: no bss.
};

struct MultibootEntry {
  uint64_t file_offset = 0;  // Of the field.
  uint32_t address = 0;
};

struct MultibootHeader {
  MultibootVersion version = MultibootVersion::k1;
  uint64_t offset = 0;  // In the file.
  std::optional<MultibootAddresses> addresses;
  std::optional<MultibootEntry> entry;
  std::vector<std::string> findings;  // As GuestImage's.
};

// Where in the file the first header with the right sum lies; nullopt: there is none.
std::optional<uint64_t> FindMultibootHeader(MultibootVersion version, const ByteReader& file);

// InvalidArgument, by ImageError: there is no header as FindMultibootHeader finds it, but one that
// must have been meant as one: truncated, with a wrong sum, or past the part of the file in which
// it counts.
absl::Status CheckNoStrayMultibootHeader(MultibootVersion version, const std::string& path,
                                         const ByteReader& file);

// The header that FindMultibootHeader finds.
// InvalidArgument, by ImageError: there is none; a field that was asked for lies outside; version
// 1: an unknown flag among those that a loader must know (bits 3 to 15). Version 2: another
// architecture than i386, a length or a tag that leaves the header, a tag of a wrong size, an
// unknown tag or a request for information of an unknown type that is not marked optional, a
// console that must be there, addresses without an entry, no end tag.
absl::StatusOr<MultibootHeader> ReadMultibootHeader(MultibootVersion version,
                                                    const std::string& path,
                                                    const ByteReader& file);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_MULTIBOOT_HEADER_H_
