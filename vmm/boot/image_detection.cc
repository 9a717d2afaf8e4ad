#include "vmm/boot/image_detection.h"

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/bzimage_loader.h"
#include "vmm/boot/elf_file.h"
#include "vmm/boot/elf_loader.h"
#include "vmm/boot/flat_loader.h"
#include "vmm/boot/image_error.h"
#include "vmm/boot/multiboot_loader.h"
#include "vmm/boot/pvh_loader.h"

namespace vmwire {
namespace {

absl::Status UnknownFormat(const GuestImage& image) {
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s (%d bytes) is not a guest image: looked for the ELF magic (7f 45 4c 46) at offset 0, for "
      "Linux' setup header (\"HdrS\") at offset 514, for a multiboot header in the first 8192 "
      "bytes, for a multiboot2 header in the first 32768, and for a boot sector's signature (55 "
      "aa) at offset 510. To load it as it is, say `--format flat --start "
      "real16|protected32|long64-ring0|long64-ring3`",
      image.path, image.file.size()));
}

// The newer version, if the file has headers of both.
std::optional<MultibootVersion> MultibootOf(const ByteReader& file) {
  for (const MultibootVersion version : {MultibootVersion::k2, MultibootVersion::k1}) {
    if (FindMultibootHeader(version, file).has_value()) return version;
  }
  return std::nullopt;
}

absl::Status CheckNoStray(const GuestImage& image) {
  const ByteReader file(image.file);
  for (const MultibootVersion version : {MultibootVersion::k2, MultibootVersion::k1}) {
    VMWIRE_RETURN_IF_ERROR(CheckNoStrayMultibootHeader(version, image.path, file));
  }
  return absl::OkStatus();
}

absl::Status LoadElfFamily(std::optional<StartMode> start, GuestImage& image) {
  const ByteReader file(image.file);
  const absl::StatusOr<ElfFile> elf = ReadElfFile(image.path, file);
  if (elf.ok() && elf->notes.has_own) return LoadElf(start, image);
  if (const std::optional<MultibootVersion> version = MultibootOf(file); version.has_value()) {
    return LoadMultiboot(*version, start, image);
  }
  VMWIRE_RETURN_IF_ERROR(elf.status());
  if (elf->notes.pvh_entry.has_value()) return LoadPvh(start, image);
  if (elf->notes.is_linux_kernel) return LoadVmlinux(start, image);
  VMWIRE_RETURN_IF_ERROR(CheckNoStray(image));
  return LoadElf(start, image);
}

absl::Status LoadFlatImage(std::optional<StartMode> start, GuestImage& image) {
  const bool boot_sector = HasBootSignature(image.file);
  if (!start.has_value() && !boot_sector) {
    return absl::InvalidArgumentError(absl::StrCat(
        image.path,
        " has no boot sector's signature (55 aa at offset 510), so a flat image needs `--start "
        "real16|protected32|long64-ring0|long64-ring3`"));
  }
  VMWIRE_RETURN_IF_ERROR(LoadFlat(start.value_or(StartMode::kReal16), image));
  image.findings = {boot_sector ? "boot sector's signature (55 aa) at file offset 0x1fe"
                                : "no header; loaded as it is, as --format asks for"};
  return absl::OkStatus();
}

absl::Status LoadFoundBzImage(std::optional<StartMode> start, GuestImage& image) {
  image.findings = {"Linux setup header (\"HdrS\") at file offset 0x202"};
  return LoadBzImage(start, image);
}

absl::Status LoadLinux(std::optional<StartMode> start, GuestImage& image) {
  if (HasLinuxSetupHeader(image.file)) return LoadFoundBzImage(start, image);
  if (HasElfMagic(image.file)) return LoadVmlinux(start, image);
  return ImageError(image.path, 0,
                    "not a Linux kernel: neither a bzImage (\"HdrS\" at offset 514, 55 aa at 510) "
                    "nor a vmlinux (ELF)");
}

absl::Status LoadByContent(std::optional<StartMode> start, GuestImage& image) {
  if (HasElfMagic(image.file)) return LoadElfFamily(start, image);
  if (HasLinuxSetupHeader(image.file)) return LoadFoundBzImage(start, image);
  const std::optional<MultibootVersion> version = MultibootOf(ByteReader(image.file));
  if (version.has_value()) return LoadMultiboot(*version, start, image);
  if (HasBootSignature(image.file)) return LoadFlatImage(start, image);
  VMWIRE_RETURN_IF_ERROR(CheckNoStray(image));
  return UnknownFormat(image);
}

}  // namespace

absl::Status LoadByFormat(const ImageOptions& options, GuestImage& image) {
  switch (options.format) {
    case ImageFormatChoice::kAuto:
      return LoadByContent(options.start, image);
    case ImageFormatChoice::kElf:
      return LoadElf(options.start, image);
    case ImageFormatChoice::kFlat:
      return LoadFlatImage(options.start, image);
    case ImageFormatChoice::kMultiboot:
      return LoadMultiboot(MultibootVersion::k1, options.start, image);
    case ImageFormatChoice::kMultiboot2:
      return LoadMultiboot(MultibootVersion::k2, options.start, image);
    case ImageFormatChoice::kPvh:
      return LoadPvh(options.start, image);
    case ImageFormatChoice::kLinux:
      return LoadLinux(options.start, image);
  }
  return UnknownFormat(image);
}

}  // namespace vmwire
