#include "vmm/boot/image_error.h"

#include "absl/strings/str_format.h"

namespace vmwire {

absl::Status ImageError(const std::string& path, uint64_t offset, const std::string& reason) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %s (at file offset 0x%x)", path, reason, offset));
}

}  // namespace vmwire
