#include "vmm/boot/guest_image.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/elf_loader.h"
#include "vmm/boot/flat_loader.h"
#include "vmm/boot/image_file.h"

namespace vmwire {
namespace {

absl::Status UnknownFormat(const std::string& path, uint64_t size) {
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s (%d bytes) is not a guest image: looked for the ELF magic (7f 45 4c 46) at offset 0 and "
      "for a boot sector's signature (55 aa) at offset 510. To load it as it is, say `--format "
      "flat --start real16|protected32|long64-ring0|long64-ring3`",
      path, size));
}

}  // namespace

std::string ToString(ImageFormat format) {
  switch (format) {
    case ImageFormat::kElf64:
      return "ELF64 x86-64, static";
    case ImageFormat::kFlat:
      return "flat";
  }
  return "unknown";
}

std::string ToString(ImageFormatChoice choice) {
  switch (choice) {
    case ImageFormatChoice::kAuto:
      return "auto";
    case ImageFormatChoice::kElf:
      return "elf";
    case ImageFormatChoice::kFlat:
      return "flat";
  }
  return "unknown";
}

absl::StatusOr<GuestImage> LoadGuestImage(const std::string& path, const ImageOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(std::vector<std::byte> file, ReadImageFile(path));
  return ParseGuestImage(path, std::move(file), options);
}

absl::StatusOr<GuestImage> ParseGuestImage(const std::string& path, std::vector<std::byte> file,
                                           const ImageOptions& options) {
  if (file.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  GuestImage image;
  image.path = path;
  image.file = std::move(file);
  const bool elf = options.format == ImageFormatChoice::kElf ||
                   (options.format == ImageFormatChoice::kAuto && HasElfMagic(image.file));
  if (elf) {
    VMWIRE_RETURN_IF_ERROR(LoadElf(options.start, image));
    return image;
  }
  const bool boot_sector = HasBootSignature(image.file);
  if (options.format == ImageFormatChoice::kAuto && !boot_sector) {
    return UnknownFormat(path, image.file.size());
  }
  if (!options.start.has_value() && !boot_sector) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " has no boot sector's signature (55 aa at offset 510), so a flat image needs `--start "
        "real16|protected32|long64-ring0|long64-ring3`"));
  }
  VMWIRE_RETURN_IF_ERROR(LoadFlat(options.start.value_or(StartMode::kReal16), image));
  return image;
}

std::optional<uint64_t> MemoryNeeded(const GuestImage& image) {
  uint64_t needed = kMinGuestMemory;
  for (const ImageSegment& segment : image.segments) {
    const std::optional<uint64_t> bytes = MemoryNeededFor(segment.address, segment.memory_size);
    if (!bytes.has_value()) return std::nullopt;
    needed = std::max(needed, *bytes);
  }
  return needed;
}

absl::Status CheckStartable(const GuestImage& image) {
  for (const ImageSegment& segment : image.segments) {
    if (MemoryNeededFor(segment.address, segment.memory_size).has_value()) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the segment [0x%x, 0x%x) lies outside of guest memory: no memory size will do, for "
        "memory is never at [3 GiB, 4 GiB) nor above 129 GiB",
        image.path, segment.address.value(), segment.end().value()));
  }
  return absl::OkStatus();
}

absl::Status CheckFits(const GuestImage& image, const GuestLayout& layout) {
  VMWIRE_RETURN_IF_ERROR(CheckStartable(image));
  for (const ImageSegment& segment : image.segments) {
    if (layout.IsRam(segment.address, segment.memory_size)) continue;
    // CheckStartable has seen that there is such a size.
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the segment [0x%x, 0x%x) lies outside of guest memory, which is %d bytes: the image "
        "needs --memory size=%dM or more",
        image.path, segment.address.value(), segment.end().value(), layout.memory_bytes(),
        MemoryNeeded(image).value_or(kMaxGuestMemory) / kMiB));
  }
  return absl::OkStatus();
}

absl::Status WriteImage(const GuestImage& image, const GuestMemory& memory) {
  for (const ImageSegment& segment : image.segments) {
    VMWIRE_RETURN_IF_ERROR(memory.Write(segment.address, image.BytesOf(segment)));
    VMWIRE_RETURN_IF_ERROR(memory.Zero(GuestAddress(segment.address.value() + segment.file_size),
                                       segment.memory_size - segment.file_size));
  }
  return absl::OkStatus();
}

std::string Describe(const GuestImage& image) {
  std::string text;
  absl::StrAppendFormat(&text, "image         %s\n", image.path);
  absl::StrAppendFormat(&text, "format        %s, %d bytes\n", ToString(image.format),
                        image.file.size());
  absl::StrAppendFormat(&text, "start mode    %s\n", ToString(image.start));
  absl::StrAppendFormat(&text, "entry         0x%x\n", image.entry.value());
  for (const ImageSegment& segment : image.segments) {
    absl::StrAppendFormat(&text,
                          "segment       [0x%x, 0x%x) %s, %d bytes, %d of them from file offset "
                          "0x%x\n",
                          segment.address.value(), segment.end().value(),
                          ToString(segment.protection), segment.memory_size, segment.file_size,
                          segment.file_offset);
  }
  for (const GuestRange& window : image.dma_windows) {
    absl::StrAppendFormat(&text, "DMA window    %s, %d bytes\n", window.ToString(), window.size());
  }
  const std::optional<uint64_t> needed = MemoryNeeded(image);
  if (needed.has_value()) {
    absl::StrAppendFormat(&text, "memory needed %d MiB\n", *needed / kMiB);
  } else {
    absl::StrAppend(&text, "memory needed more than a guest can have\n");
  }
  return text;
}

}  // namespace vmwire
