#include "vmm/boot/command_line.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// What Linux parts parameters by (lib/ctype.c).
constexpr std::string_view kSpaces = " \t\n\v\f\r\xa0";

// One past the parameter that begins at `start`: in quotes a space parts nothing (Linux,
// lib/cmdline.c, next_arg).
size_t ParameterEnd(std::string_view line, size_t start) {
  bool is_quoted = false;
  for (size_t at = start; at < line.size(); ++at) {
    if (line[at] == '"') is_quoted = !is_quoted;
    if (!is_quoted && kSpaces.find(line[at]) != kSpaces.npos) return at;
  }
  return line.size();
}

// Where the parameters of Linux end: at the first "--", which may be in quotes, for all behind it
// is init's (kernel/params.c, parse_args); without one at the end of the line.
size_t LinuxParametersEnd(std::string_view line) {
  size_t start = line.find_first_not_of(kSpaces);
  while (start != line.npos) {
    const size_t end = ParameterEnd(line, start);
    const std::string_view parameter = line.substr(start, end - start);
    if (parameter == "--" || parameter == "\"--\"") return start;
    start = line.find_first_not_of(kSpaces, end);
  }
  return line.size();
}

std::string LinuxDeviceParameters(std::span<const BootInfoDevice> devices) {
  std::string text;
  for (const BootInfoDevice& device : devices) {
    if (device.kind != DeviceKind::kVirtioMmio) continue;
    // Linux takes no device without an interrupt (drivers/virtio/virtio_mmio.c, vm_cmdline_set).
    if (device.irq == 0) continue;
    absl::StrAppendFormat(&text, "%svirtio_mmio.device=%dK@0x%x:%d", text.empty() ? "" : " ",
                          uint64_t{device.size} / 1024, uint64_t{device.base},
                          uint32_t{device.irq});
  }
  return text;
}

}  // namespace

std::string LinuxCommandLine(const GuestImage& image, const MachineFacts& facts) {
  std::string line = image.command_line;
  if (!facts.devices_on_command_line) return line;
  const std::string devices = LinuxDeviceParameters(facts.devices);
  if (devices.empty()) return line;
  const size_t end = LinuxParametersEnd(line);
  if (end < line.size()) return line.insert(end, devices + " ");
  return line.empty() ? devices : absl::StrCat(line, " ", devices);
}

std::string MultibootCommandLine(const GuestImage& image) {
  // Without a slash npos + 1 is 0: the whole path.
  std::string line = image.path.substr(image.path.rfind('/') + 1);
  if (!image.command_line.empty()) absl::StrAppend(&line, " ", image.command_line);
  return line;
}

absl::Status CheckCommandLine(const std::string& path, const std::string& line, uint64_t limit) {
  const uint64_t most = std::min(limit, kMaxCommandLineSize - 1);
  if (line.size() <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: the command line, with what belongs before and behind it, has %d bytes, and the guest "
      "takes %d at most: shorten it",
      path, line.size(), most));
}

absl::StatusOr<BootBlock> MakeCommandLine(const std::string& path, const std::string& line,
                                          uint64_t limit) {
  VMWIRE_RETURN_IF_ERROR(CheckCommandLine(path, line, limit));
  BootBlock block{.address = kCommandLineAddress, .bytes = std::vector<std::byte>(line.size() + 1)};
  std::memcpy(block.bytes.data(), line.data(), line.size());
  return block;
}

}  // namespace vmwire
