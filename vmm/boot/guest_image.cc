#include "vmm/boot/guest_image.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/boot/image_description.h"
#include "vmm/boot/image_detection.h"
#include "vmm/boot/image_file.h"

namespace vmwire {
namespace {

bool TakesManyModules(BootProtocol protocol) {
  return protocol == BootProtocol::kMultiboot1 || protocol == BootProtocol::kMultiboot2;
}

// Whether the image's protocol has a place for what the options give beside it.
absl::Status CheckExtras(const GuestImage& image, const ImageOptions& options) {
  const BootProtocol protocol = ProtocolOf(image.format);
  const std::string what = options.modules.empty() ? "command line" : "initrd or module";
  if (protocol == BootProtocol::kVmwire &&
      !(options.command_line.empty() && options.modules.empty())) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: an image of the format \"%s\" takes no %s: leave it out, or use a multiboot, PVH or "
        "Linux image (`--format` forces one)",
        image.path, ToString(image.format), what));
  }
  if (options.modules.size() > 1 && !TakesManyModules(protocol)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: an image of the format \"%s\" takes one module, its initrd, not %d: join archives by "
        "writing one behind the other",
        image.path, ToString(image.format), options.modules.size()));
  }
  for (const ModuleOption& module : options.modules) {
    if (module.command_line.empty() || protocol != BootProtocol::kLinux) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: an image of the format \"%s\" takes no text with its initrd %s: give it the text by "
        "--cmdline",
        image.path, ToString(image.format), module.path));
  }
  return absl::OkStatus();
}

// What the modules take, which are whole pages.
uint64_t ModulePages(const GuestImage& image) {
  uint64_t bytes = 0;
  for (const ImageModule& module : image.modules) {
    bytes += CheckedAlignUp(std::max<uint64_t>(module.bytes.size(), 1), kPageSize).value_or(0);
  }
  return bytes;
}

}  // namespace

std::string ToString(ImageFormat format) {
  switch (format) {
    case ImageFormat::kElf32:
      return "ELF32 i386, static";
    case ImageFormat::kElf64:
      return "ELF64 x86-64, static";
    case ImageFormat::kFlat:
      return "flat";
    case ImageFormat::kMultiboot1:
      return "multiboot";
    case ImageFormat::kMultiboot2:
      return "multiboot2";
    case ImageFormat::kPvh:
      return "PVH";
    case ImageFormat::kBzImage:
      return "Linux bzImage";
    case ImageFormat::kVmlinux:
      return "Linux vmlinux";
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
    case ImageFormatChoice::kMultiboot:
      return "multiboot";
    case ImageFormatChoice::kMultiboot2:
      return "multiboot2";
    case ImageFormatChoice::kPvh:
      return "pvh";
    case ImageFormatChoice::kLinux:
      return "linux";
  }
  return "unknown";
}

BootProtocol ProtocolOf(ImageFormat format) {
  switch (format) {
    case ImageFormat::kElf32:
    case ImageFormat::kElf64:
    case ImageFormat::kFlat:
      return BootProtocol::kVmwire;
    case ImageFormat::kMultiboot1:
      return BootProtocol::kMultiboot1;
    case ImageFormat::kMultiboot2:
      return BootProtocol::kMultiboot2;
    case ImageFormat::kPvh:
      return BootProtocol::kPvh;
    case ImageFormat::kBzImage:
    case ImageFormat::kVmlinux:
      return BootProtocol::kLinux;
  }
  return BootProtocol::kVmwire;
}

absl::StatusOr<GuestImage> LoadGuestImage(const std::string& path, const ImageOptions& options) {
  VMWIRE_ASSIGN_OR_RETURN(std::vector<std::byte> file, ReadImageFile(path));
  VMWIRE_ASSIGN_OR_RETURN(GuestImage image, ParseGuestImage(path, std::move(file), options));
  for (const ModuleOption& module : options.modules) {
    VMWIRE_ASSIGN_OR_RETURN(std::vector<std::byte> bytes, ReadImageFile(module.path, "module"));
    image.modules.push_back(
        {.path = module.path, .command_line = module.command_line, .bytes = std::move(bytes)});
  }
  return image;
}

absl::StatusOr<GuestImage> ParseGuestImage(const std::string& path, std::vector<std::byte> file,
                                           const ImageOptions& options) {
  if (file.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  GuestImage image;
  image.path = path;
  image.file = std::move(file);
  VMWIRE_RETURN_IF_ERROR(LoadByFormat(options, image));
  VMWIRE_RETURN_IF_ERROR(CheckExtras(image, options));
  image.command_line = options.command_line;
  return image;
}

std::optional<uint64_t> MemoryNeeded(const GuestImage& image) {
  uint64_t needed = kMinGuestMemory;
  for (const ImageSegment& segment : image.segments) {
    const std::optional<uint64_t> bytes = MemoryNeededFor(segment.address, segment.memory_size);
    if (!bytes.has_value()) return std::nullopt;
    needed = std::max(needed, *bytes);
  }
  const std::optional<uint64_t> of_modules = MemoryNeededByModules(image);
  if (!of_modules.has_value()) return std::nullopt;
  return std::max(needed, *of_modules);
}

absl::Status CheckStartable(const GuestImage& image) {
  for (const ImageSegment& segment : image.segments) {
    if (MemoryNeededFor(segment.address, segment.memory_size).has_value()) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the segment [0x%x, 0x%x) lies outside of guest memory: no memory size will do, for "
        "memory is never at [3 GiB, 4 GiB) nor above 129 GiB",
        image.path, segment.address.value(), segment.end().value()));
  }
  if (MemoryNeeded(image).has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: its modules, %d bytes in whole pages, have no room beside its segments: "
                      "no memory size will do, for the image takes modules from 1 MiB to 0x%x only",
                      image.path, ModulePages(image), ModulesEnd(image)));
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
  return image.modules.empty() ? absl::OkStatus() : PlaceModules(image, layout).status();
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
  for (const std::string& finding : image.findings) {
    absl::StrAppendFormat(&text, "found         %s\n", finding);
  }
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
  text += DescribeProtocol(image);
  const std::optional<uint64_t> needed = MemoryNeeded(image);
  if (needed.has_value()) {
    absl::StrAppendFormat(&text, "memory needed %d MiB\n", *needed / kMiB);
  } else {
    absl::StrAppend(&text, "memory needed more than a guest can have\n");
  }
  return text;
}

}  // namespace vmwire
