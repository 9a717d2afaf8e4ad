// What of a guest image depends on its boot protocol, for people.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_IMAGE_DESCRIPTION_H_
#define VMWIRE_VMM_BOOT_IMAGE_DESCRIPTION_H_

#include <string>

#include "vmm/boot/guest_image.h"

namespace vmwire {

// Lines of Describe: the protocol, the version of a Linux, the limits of command line and initrd,
// the command line and the modules that are passed. Empty for images of BootProtocol::kVmwire.
std::string DescribeProtocol(const GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_IMAGE_DESCRIPTION_H_
