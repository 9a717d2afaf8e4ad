// Reads the file of a guest image, or of a module that goes with it, into memory.
//
// The whole file is read once and parsed as a copy, so that a file that changes meanwhile cannot
// pass a check with other bytes than are used, nor end the process as a truncated mapping would.
//
// Invariants: no descriptor is left open.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_IMAGE_FILE_H_
#define VMWIRE_VMM_BOOT_IMAGE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace vmwire {

inline constexpr uint64_t kMaxImageFileSize = uint64_t{1} << 30;

// The bytes of the file at `path`; never empty. `what` names the kind of the file in messages.
// InvalidArgument, naming `path` and the reason: it does not exist, may not be read, is a directory
// or not a regular file, is empty, is larger than kMaxImageFileSize, became shorter while it was
// read, or reading it failed. ResourceExhausted: this process has too many open files.
absl::StatusOr<std::vector<std::byte>> ReadImageFile(const std::string& path,
                                                     const std::string& what = "image");

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_IMAGE_FILE_H_
