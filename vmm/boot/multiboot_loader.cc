#include "vmm/boot/multiboot_loader.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/elf_file.h"
#include "vmm/boot/image_error.h"

namespace vmwire {
namespace {

// Multiboot2, 3.1.5: load the file from its beginning.
constexpr uint32_t kLoadFromBeginning = UINT32_MAX;

// Where the fields lie behind MultibootAddresses::file_offset.
constexpr uint64_t kLoadField = 4;
constexpr uint64_t kLoadEndField = 8;
constexpr uint64_t kBssEndField = 12;

absl::Status FieldError(const std::string& path, const MultibootHeader& header, uint64_t field,
                        const std::string& reason) {
  return ImageError(path, header.addresses->file_offset + field,
                    absl::StrCat("the ", ToString(header.version), " header: ", reason));
}

// Which byte of the file is the first to load, and where it goes.
struct LoadStart {
  uint32_t address = 0;
  uint64_t file_offset = 0;
};

absl::StatusOr<LoadStart> FindLoadStart(const std::string& path, const MultibootHeader& header) {
  const MultibootAddresses& addresses = *header.addresses;
  uint32_t load = addresses.load;
  if (header.version == MultibootVersion::k2 && load == kLoadFromBeginning) {
    if (addresses.header < header.offset) {
      return FieldError(path, header, 0,
                        absl::StrFormat("its address 0x%x is less than its file offset 0x%x",
                                        addresses.header, header.offset));
    }
    load = addresses.header - static_cast<uint32_t>(header.offset);
  }
  if (load > addresses.header || addresses.header - load > header.offset) {
    return FieldError(path, header, kLoadField,
                      absl::StrFormat("load address 0x%x: the header is at 0x%x and at file offset "
                                      "0x%x, so that the first byte would not be in the file",
                                      load, addresses.header, header.offset));
  }
  if (load < kImageAddress.value()) {
    return FieldError(
        path, header, kLoadField,
        absl::StrFormat("load address 0x%x is below 1 MiB, which is for the monitor's "
                        "boot structures; link at 0x%x or above",
                        load, kImageAddress.value()));
  }
  return LoadStart{.address = load, .file_offset = header.offset - (addresses.header - load)};
}

// How many bytes of the file are loaded. REQUIRES: start.file_offset lies in the file.
absl::StatusOr<uint64_t> LoadedFileSize(const std::string& path, const MultibootHeader& header,
                                        const LoadStart& start, uint64_t file_size) {
  const uint64_t rest = file_size - start.file_offset;
  const uint32_t load_end = header.addresses->load_end;
  if (load_end == 0) return rest;
  if (load_end <= start.address || load_end - start.address > rest) {
    return FieldError(
        path, header, kLoadEndField,
        absl::StrFormat("load end 0x%x: loading begins at 0x%x, and the file has 0x%x "
                        "bytes for it; is it truncated?",
                        load_end, start.address, rest));
  }
  return load_end - start.address;
}

absl::Status LoadByAddresses(const MultibootHeader& header, GuestImage& image) {
  VMWIRE_ASSIGN_OR_RETURN(const LoadStart start, FindLoadStart(image.path, header));
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t file_size,
                          LoadedFileSize(image.path, header, start, image.file.size()));
  uint64_t memory_size = file_size;
  if (const uint64_t bss_end = header.addresses->bss_end; bss_end != 0) {
    if (bss_end < start.address + file_size) {
      return FieldError(image.path, header, kBssEndField,
                        absl::StrFormat("bss end 0x%x is less than the end of what is loaded 0x%x",
                                        bss_end, start.address + file_size));
    }
    memory_size = bss_end - start.address;
  }
  image.segments = {ImageSegment{.address = GuestAddress(start.address),
                                 .memory_size = memory_size,
                                 .file_offset = start.file_offset,
                                 .file_size = file_size,
                                 .protection = Protection::kAll}};
  image.findings.push_back("loaded by the addresses in the header");
  return absl::OkStatus();
}

absl::Status LoadAsElf(const MultibootHeader& header, GuestImage& image) {
  if (!HasElfMagic(image.file)) {
    return ImageError(image.path, header.offset,
                      absl::StrCat("the file is not ELF and its ", ToString(header.version),
                                   " header has no addresses (",
                                   header.version == MultibootVersion::k1 ? "flag bit 16" : "tag 2",
                                   ") to load it by"));
  }
  VMWIRE_ASSIGN_OR_RETURN(const ElfFile elf, ReadElfFile(image.path, ByteReader(image.file)));
  image.segments = elf.ImageSegments();
  image.findings.push_back(elf.header.is_64 ? "loaded as ELF64" : "loaded as ELF32");
  if (header.entry.has_value()) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(image.entry, KernelEntry(image.path, elf));
  return absl::OkStatus();
}

absl::Status CheckBelow4GiB(const GuestImage& image) {
  for (const ImageSegment& segment : image.segments) {
    if (segment.end() <= kMmioHoleEnd) continue;
    return ImageError(
        image.path, segment.file_offset,
        absl::StrFormat("the segment [0x%x, 0x%x) ends beyond 4 GiB, where a start in "
                        "protected32 does not reach",
                        segment.address.value(), segment.end().value()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadMultiboot(MultibootVersion version, std::optional<StartMode> start,
                           GuestImage& image) {
  if (start.value_or(StartMode::kProtected32) != StartMode::kProtected32) {
    return absl::InvalidArgumentError(absl::StrCat(image.path, ": a ", ToString(version),
                                                   " image starts in protected32, not in ",
                                                   ToString(*start)));
  }
  VMWIRE_ASSIGN_OR_RETURN(MultibootHeader header,
                          ReadMultibootHeader(version, image.path, ByteReader(image.file)));
  image.format =
      version == MultibootVersion::k1 ? ImageFormat::kMultiboot1 : ImageFormat::kMultiboot2;
  image.start = StartMode::kProtected32;
  image.findings = std::move(header.findings);
  VMWIRE_RETURN_IF_ERROR(header.addresses.has_value() ? LoadByAddresses(header, image)
                                                      : LoadAsElf(header, image));
  VMWIRE_RETURN_IF_ERROR(CheckBelow4GiB(image));
  if (!header.entry.has_value()) return absl::OkStatus();
  image.entry = GuestAddress(header.entry->address);
  if (IsExecutable(image.segments, image.entry)) return absl::OkStatus();
  return ImageError(image.path, header.entry->file_offset,
                    absl::StrFormat("the entry 0x%x of the %s header lies in no executable segment",
                                    image.entry.value(), ToString(version)));
}

}  // namespace vmwire
