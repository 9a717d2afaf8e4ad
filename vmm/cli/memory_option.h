// The options of `vmwire run` that say what guest memory is: --memory and --dma-window. Messages do
// not name the option; the caller puts it in front.
//
// Invariants: a MemoryOption that was parsed has a size of whole pages of its backing, and at least
// kMinGuestMemory. Whether the machine and the host can give that much is the machine's to say.
//
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_MEMORY_OPTION_H_
#define VMWIRE_VMM_CLI_MEMORY_OPTION_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "memory/page_range.h"
#include "memory/vm_object.h"
#include "vmm/boot/guest_image.h"
#include "vmm/machine_config.h"

namespace vmwire {

struct MemoryOption {
  // Bytes; whole pages. Nullopt: not said; then it is DefaultMemoryFor the image.
  std::optional<uint64_t> size = std::nullopt;
  MemoryBacking backing = MemoryBacking::kAnonymous;
  HugePages huge_pages = HugePages::kTransparent;
  bool sealed = false;
};

// Parses "size=128M,backing=anonymous|memfd|hugetlb|guest_memfd,hugepages=thp|none,sealed". Each
// key at most once, in any order; what is absent keeps its default. The first may be the size
// alone: "128M,backing=memfd". InvalidArgument: an unknown key or value (the nearest known one is
// named), a key twice or without a value, a key that the backing does not have; or a size that is
// no size, less than kMinGuestMemory, not whole pages of the backing or beyond 64 bits.
absl::StatusOr<MemoryOption> ParseMemoryOption(const std::string& text);

// The memory, in bytes, of a machine for which no size was given, by the protocol of its image:
//
//   ours            kDefaultMemoryBytes (4 MiB)
//   multiboot, PVH  64 MiB and twice what the modules take, which such kernels copy
//   Linux           256 MiB and five times the initrd, which is unpacked beside itself
//
// For the latter two at least what the image needs, and whole huge pages.
uint64_t DefaultMemoryFor(const GuestImage& image);

// Parses "GPA+LEN", two sizes as ParseByteSize knows them: "0x100000+64K".
// InvalidArgument: no '+', a part that is no size, an empty or unaligned range. OutOfRange: its end
// is beyond 64 bits.
absl::StatusOr<GuestRange> ParseDmaWindow(const std::string& text);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_MEMORY_OPTION_H_
