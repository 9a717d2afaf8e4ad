// The command line of a guest, as the boot protocols pass it: text, ended by a zero.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_COMMAND_LINE_H_
#define VMWIRE_VMM_BOOT_COMMAND_LINE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/boot/boot_block.h"
#include "vmm/boot/guest_image.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// Of Linux: the image's, and behind its parameters, but before a "--" with init's, those virtio
// devices that have an interrupt, where `facts` ask for them there, as
// virtio_mmio.device=SIZE@ADDRESS:IRQ (Linux, Documentation/admin-guide/kernel-parameters.txt).
std::string LinuxCommandLine(const GuestImage& image, const MachineFacts& facts);

// Of multiboot: the base name of the image's file and, if there is text, a space and that. The
// specifications leave the form open; kernels take what is behind the first space, for boot loaders
// put the name first.
std::string MultibootCommandLine(const GuestImage& image);

// InvalidArgument, naming both sizes: `line` is longer than `limit` bytes or than there is room for
// at kCommandLineAddress.
absl::Status CheckCommandLine(const std::string& path, const std::string& line, uint64_t limit);

// `line` at kCommandLineAddress. Errors as CheckCommandLine.
absl::StatusOr<BootBlock> MakeCommandLine(const std::string& path, const std::string& line,
                                          uint64_t limit);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_COMMAND_LINE_H_
