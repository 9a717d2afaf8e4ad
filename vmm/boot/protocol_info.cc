#include "vmm/boot/protocol_info.h"

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "vmm/guest_layout.h"

namespace vmwire {

uint32_t ProtocolInfo::NextAddress() const {
  // What grows past 32 bits is refused by Finish.
  return static_cast<uint32_t>(kProtocolInfoAddress.value() + bytes_.size());
}

uint32_t ProtocolInfo::AppendString(const std::string& text) {
  const uint32_t address = NextAddress();
  AppendBytes(std::as_bytes(std::span(text)));
  bytes_.push_back(std::byte{0});
  return address;
}

void ProtocolInfo::Align(uint64_t alignment) {
  bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
}

absl::StatusOr<BootBlock> ProtocolInfo::Finish(const std::string& path) const {
  const uint64_t room = kProtocolInfoEnd.value() - kProtocolInfoAddress.value();
  if (bytes_.size() > room) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: what the boot protocol tells of modules and command lines has %d bytes, and there is "
        "room for %d: give fewer modules or shorter command lines",
        path, bytes_.size(), room));
  }
  return BootBlock{.address = kProtocolInfoAddress, .bytes = bytes_};
}

}  // namespace vmwire
