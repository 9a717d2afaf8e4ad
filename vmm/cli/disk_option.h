// The value of --disk, from text to a configuration.
//
// Invariants: a DiskConfig that was parsed has a path.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_DISK_OPTION_H_
#define VMWIRE_VMM_CLI_DISK_OPTION_H_

#include <string>

#include "absl/status/statusor.h"
#include "vmm/device_config.h"

namespace vmwire {

// Parses "path=disk.img[,readonly][,direct]"; the first may be the path alone: "disk.img,direct".
// A path with a comma in it cannot be given. InvalidArgument: an unknown key (the nearest known one
// is named), a key twice, a value where there is none, or no path.
absl::StatusOr<DiskConfig> ParseDiskOption(const std::string& text);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_DISK_OPTION_H_
