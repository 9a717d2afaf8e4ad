#include "vmm/boot/command_line.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/guest_layout.h"

namespace vmwire {

std::string LinuxCommandLine(const GuestImage& image, const MachineFacts& facts) {
  std::string line = image.command_line;
  if (!facts.devices_on_command_line) return line;
  for (const BootInfoDevice& device : facts.devices) {
    if (device.kind != DeviceKind::kVirtioMmio) continue;
    absl::StrAppendFormat(&line, "%svirtio_mmio.device=%dK@0x%x:%d", line.empty() ? "" : " ",
                          uint64_t{device.size} / 1024, uint64_t{device.base},
                          uint32_t{device.irq});
  }
  return line;
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
