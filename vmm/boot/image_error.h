// How the loaders of guest images say what is wrong with a file.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_IMAGE_ERROR_H_
#define VMWIRE_VMM_BOOT_IMAGE_ERROR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace vmwire {

// InvalidArgument "PATH: REASON (at file offset 0xN)".
absl::Status ImageError(const std::string& path, uint64_t offset, const std::string& reason);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_IMAGE_ERROR_H_
