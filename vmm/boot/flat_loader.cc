#include "vmm/boot/flat_loader.h"

#include "absl/strings/str_format.h"
#include "vmm/guest_layout.h"

namespace vmwire {

bool HasBootSignature(std::span<const std::byte> file) {
  return file.size() >= 512 && file[510] == std::byte{0x55} && file[511] == std::byte{0xaa};
}

absl::Status LoadFlat(StartMode start, GuestImage& image) {
  const GuestAddress address = start == StartMode::kReal16 ? kRealModeImageAddress : kImageAddress;
  const uint64_t size = image.file.size();
  if (start == StartMode::kReal16 && size > kLowMemoryEnd.value() - address.value()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: a real-mode image is loaded at 0x%x and must end below 0x%x, but has %d bytes",
        image.path, address.value(), kLowMemoryEnd.value(), size));
  }
  image.format = ImageFormat::kFlat;
  image.start = start;
  image.entry = address;
  image.segments = {ImageSegment{.address = address,
                                 .memory_size = size,
                                 .file_offset = 0,
                                 .file_size = size,
                                 .protection = Protection::kAll}};
  return absl::OkStatus();
}

}  // namespace vmwire
