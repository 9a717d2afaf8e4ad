// A guest image: what its file says is to lie where in guest memory, and how it is entered.
//
// Ours are static ELF executables of either class (elf_loader.h) and flat binaries, loaded as they
// are, at 0x7c00 for real mode and at 1 MiB for the other modes. Those of others are multiboot 1
// and 2 (multiboot_loader.h), PVH and Linux' vmlinux (pvh_loader.h), and Linux' bzImage
// (bzimage_loader.h).
//
// Invariants (of what LoadGuestImage and ParseGuestImage return): at least one segment; segments
// are in the order of their addresses, not empty, disjoint, do not wrap and begin at kImageAddress
// or above (real mode: inside [kRealModeImageAddress, kLowMemoryEnd)); the file bytes of each lie
// inside `file`; the entry lies in an executable segment. Whether guest memory has room is not said
// here: CheckFits.
// Thread safety: values.
#ifndef VMWIRE_VMM_BOOT_GUEST_IMAGE_H_
#define VMWIRE_VMM_BOOT_GUEST_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "memory/address.h"
#include "memory/guest_memory.h"
#include "memory/page_range.h"
#include "memory/protection.h"
#include "vmm/boot/start_mode.h"
#include "vmm/guest_layout.h"

namespace vmwire {

enum class ImageFormat {
  kElf32,
  kElf64,
  kFlat,
  kMultiboot1,
  kMultiboot2,
  kPvh,
  kBzImage,
  kVmlinux
};

// "ELF32 i386, static", "ELF64 x86-64, static", "flat", "multiboot", "multiboot2", "PVH", "Linux
// bzImage", "Linux vmlinux".
std::string ToString(ImageFormat format);

// How an image is told of its machine.
enum class BootProtocol {
  kVmwire,      // Boot info, vmm/guest_layout.h.
  kMultiboot1,  // Multiboot Specification 0.6.96.
  kMultiboot2,  // Multiboot2 Specification 2.0.
  kPvh,         // hvm_start_info (Xen, "x86/HVM direct boot ABI").
  kLinux,       // boot_params (Linux, Documentation/arch/x86/boot.rst).
};
BootProtocol ProtocolOf(ImageFormat format);

struct ImageSegment {
  GuestAddress address;
  uint64_t memory_size = 0;  // Bytes of guest memory; what the file does not fill is zero.
  uint64_t file_offset = 0;
  uint64_t file_size = 0;  // At most memory_size.
  Protection protection = Protection::kNone;

  GuestAddress end() const { return GuestAddress(address.value() + memory_size); }
};

// A file that is loaded beside the image: an initrd, a multiboot module.
struct ImageModule {
  std::string path;
  std::string command_line;
  std::vector<std::byte> bytes;
};

// What a bzImage says of itself beside its segment (Linux, Documentation/arch/x86/boot.rst), and
// what holds for other kernels.
struct LinuxSetup {
  std::vector<std::byte> header;  // From offset 0x1f1 of the file to the end of the setup header.
  uint32_t initrd_address_max = 0x37ffffff;
  uint32_t command_line_size = 255;
  std::string version;  // As the kernel prints it; empty if it does not say.
};

struct GuestImage {
  std::string path;
  ImageFormat format = ImageFormat::kFlat;
  StartMode start = StartMode::kReal16;
  GuestAddress entry;
  std::vector<ImageSegment> segments;
  std::vector<GuestRange> dma_windows;  // As the image's note declares them, in that order.
  std::vector<std::byte> file;          // All of it.
  std::string command_line;
  std::vector<ImageModule> modules;  // Of kPvh and kLinux at most one, the initrd.
  // Of kBzImage; of kVmlinux the limits; of kPvh that of the command line.
  LinuxSetup linux_setup = {};
  // What in the file says that it is of this format, and what of that is not done; for people.
  std::vector<std::string> findings = {};

  // The bytes that the file holds for `segment`, which is one of `segments`.
  std::span<const std::byte> BytesOf(const ImageSegment& segment) const {
    return std::span(file).subspan(segment.file_offset, segment.file_size);
  }
  // From the first byte of the first segment to the end of the last.
  GuestAddress start_address() const { return segments.front().address; }
  GuestAddress end_address() const { return segments.back().end(); }
};

enum class ImageFormatChoice { kAuto, kElf, kFlat, kMultiboot, kMultiboot2, kPvh, kLinux };

// "auto", "elf", "flat", "multiboot", "multiboot2", "pvh", "linux".
std::string ToString(ImageFormatChoice choice);

struct ModuleOption {
  std::string path;
  std::string command_line;
};

struct ImageOptions {
  ImageFormatChoice format = ImageFormatChoice::kAuto;
  // Without: what the image says of itself.
  std::optional<StartMode> start = std::nullopt;
  std::string command_line = {};
  std::vector<ModuleOption> modules = {};  // An initrd is the first of them.
};

// Reads and parses the image at `path`, and reads the modules of the options. Unless the options
// say the format, the content does, see image_detection.h.
// InvalidArgument, naming the path, the reason and for a malformed file the offset: the file or
// that of a module cannot be used (see image_file.h), it is in no known format, it is malformed, or
// the options do not suit it: a flat image without signature needs a start mode; the other formats
// start in some modes only; images of BootProtocol::kVmwire take neither command line nor modules,
// those of kPvh and kLinux one module at most, and that of kLinux no text.
absl::StatusOr<GuestImage> LoadGuestImage(const std::string& path, const ImageOptions& options);

// The same of bytes that are in memory already; `path` is for messages. Modules are checked, but
// not read.
absl::StatusOr<GuestImage> ParseGuestImage(const std::string& path, std::vector<std::byte> file,
                                           const ImageOptions& options);

// The least memory size, in whole MiB, with which `image` can be started; nullopt if no size will
// do: a segment lies in the MMIO hole or beyond what a guest can have, or the modules have no room
// where the protocol takes them (MemoryNeededByModules).
std::optional<uint64_t> MemoryNeeded(const GuestImage& image);

// InvalidArgument, naming what has no place, unless MemoryNeeded has an answer.
absl::Status CheckStartable(const GuestImage& image);

// InvalidArgument, naming the segment or module and the memory size to ask for, unless every
// segment lies in the memory of `layout` and every module has room there (PlaceModules).
absl::Status CheckFits(const GuestImage& image, const GuestLayout& layout);

// Copies the segments into guest memory and zeroes what the file does not fill; nothing else is
// touched. Errors as GuestMemory::Write; then a part may have been written.
absl::Status WriteImage(const GuestImage& image, const GuestMemory& memory);

// What `vmwire inspect` prints: format and why, start mode, entry, segments, DMA windows, what the
// boot protocol passes and its limits, and the memory needed; several lines, each ended by a
// newline.
std::string Describe(const GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_GUEST_IMAGE_H_
