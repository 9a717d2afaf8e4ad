#include "vmm/boot/image_description.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/strings/str_format.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/bzimage_loader.h"

namespace vmwire {
namespace {

constexpr uint64_t kMaxVersionSize = 128;

// How a kernel's first line begins, which is in its file as the kernel prints it.
constexpr std::string_view kBanner = "Linux version ";

std::string ProtocolName(BootProtocol protocol) {
  switch (protocol) {
    case BootProtocol::kVmwire:
      return "vmwire";
    case BootProtocol::kMultiboot1:
      return "Multiboot Specification 0.6.96";
    case BootProtocol::kMultiboot2:
      return "Multiboot2 Specification 2.0";
    case BootProtocol::kPvh:
      return "PVH, hvm_start_info version 1";
    case BootProtocol::kLinux:
      return "Linux boot protocol";
  }
  return "unknown";
}

// With its version, which a bzImage's setup header has at offset 0x206 (of the file).
std::string DescribeBootProtocol(const GuestImage& image) {
  constexpr uint64_t kVersionOffset = 0x206 - kSetupHeaderOffset;
  const std::string name = ProtocolName(ProtocolOf(image.format));
  const std::optional<uint16_t> version =
      ByteReader(image.linux_setup.header).Load<uint16_t>(kVersionOffset);
  if (!version.has_value()) return name;
  return absl::StrFormat("%s %d.%02d", name, *version >> 8, *version & 0xff);
}

// The version that a kernel's banner in the file names; empty if there is none.
std::string VersionInBanner(const GuestImage& image) {
  const std::string_view text(reinterpret_cast<const char*>(image.file.data()), image.file.size());
  // The kernel has the banner as a format too, where "%s" is.
  for (size_t at = text.find(kBanner); at != text.npos; at = text.find(kBanner, at + 1)) {
    const std::string_view rest = text.substr(at + kBanner.size(), kMaxVersionSize);
    if (rest.empty() || std::isdigit(static_cast<unsigned char>(rest.front())) == 0) continue;
    const auto end = std::find_if(rest.begin(), rest.end(), [](char c) {
      return std::isgraph(static_cast<unsigned char>(c)) == 0;
    });
    return std::string(rest.begin(), end);
  }
  return "";
}

std::string LinuxVersion(const GuestImage& image) {
  if (!image.linux_setup.version.empty()) return image.linux_setup.version;
  // What a bzImage holds is compressed.
  if (image.format != ImageFormat::kVmlinux && image.format != ImageFormat::kPvh) return "";
  return VersionInBanner(image);
}

uint64_t CommandLineLimit(const GuestImage& image) {
  const uint64_t room = kMaxCommandLineSize - 1;
  const BootProtocol protocol = ProtocolOf(image.format);
  if (protocol != BootProtocol::kLinux && protocol != BootProtocol::kPvh) return room;
  return std::min<uint64_t>(image.linux_setup.command_line_size, room);
}

}  // namespace

std::string DescribeProtocol(const GuestImage& image) {
  std::string text;
  const BootProtocol protocol = ProtocolOf(image.format);
  if (protocol == BootProtocol::kVmwire) return text;
  absl::StrAppendFormat(&text, "protocol      %s\n", DescribeBootProtocol(image));
  if (const std::string version = LinuxVersion(image); !version.empty()) {
    absl::StrAppendFormat(&text, "Linux version %s\n", version);
  }
  const bool one_module = protocol == BootProtocol::kPvh || protocol == BootProtocol::kLinux;
  absl::StrAppendFormat(&text,
                        "takes         at most %d bytes of command line; %s, ending at 0x%x or "
                        "below\n",
                        CommandLineLimit(image), one_module ? "an initrd" : "modules",
                        ModulesEnd(image));
  if (!image.command_line.empty()) {
    absl::StrAppendFormat(&text, "command line  %s\n", image.command_line);
  }
  for (const ImageModule& module : image.modules) {
    absl::StrAppendFormat(&text, "module        %s, %d bytes%s%s\n", module.path,
                          module.bytes.size(), module.command_line.empty() ? "" : ": ",
                          module.command_line);
  }
  return text;
}

}  // namespace vmwire
