// A guest image: what its file says is to lie where in guest memory, and how it is entered.
//
// Two formats. ELF: a static ELF64 executable for x86-64, see elf_loader.h. Flat: bytes that are
// loaded as they are, at 0x7c00 for real mode and at 1 MiB for the other modes.
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

enum class ImageFormat { kElf64, kFlat };

// "ELF64 x86-64, static", "flat".
std::string ToString(ImageFormat format);

struct ImageSegment {
  GuestAddress address;
  uint64_t memory_size = 0;  // Bytes of guest memory; what the file does not fill is zero.
  uint64_t file_offset = 0;
  uint64_t file_size = 0;  // At most memory_size.
  Protection protection = Protection::kNone;

  GuestAddress end() const { return GuestAddress(address.value() + memory_size); }
};

struct GuestImage {
  std::string path;
  ImageFormat format = ImageFormat::kFlat;
  StartMode start = StartMode::kReal16;
  GuestAddress entry;
  std::vector<ImageSegment> segments;
  std::vector<GuestRange> dma_windows;  // As the image's note declares them, in that order.
  std::vector<std::byte> file;          // All of it.

  // The bytes that the file holds for `segment`, which is one of `segments`.
  std::span<const std::byte> BytesOf(const ImageSegment& segment) const {
    return std::span(file).subspan(segment.file_offset, segment.file_size);
  }
  // From the first byte of the first segment to the end of the last.
  GuestAddress start_address() const { return segments.front().address; }
  GuestAddress end_address() const { return segments.back().end(); }
};

enum class ImageFormatChoice { kAuto, kElf, kFlat };

// "auto", "elf", "flat".
std::string ToString(ImageFormatChoice choice);

struct ImageOptions {
  ImageFormatChoice format = ImageFormatChoice::kAuto;
  // Without: what the image says of itself.
  std::optional<StartMode> start = std::nullopt;
};

// Reads and parses the image at `path`. Unless the options say the format, the content does: the
// ELF magic, else the signature of a boot sector (bytes 0x55 0xaa at offset 510).
// InvalidArgument, naming the path, the reason and for a malformed file the offset: the file cannot
// be used (see image_file.h), it is in no known format, it is malformed, or the options do not suit
// it (a flat image without signature needs a start mode; an ELF image starts in long mode only).
absl::StatusOr<GuestImage> LoadGuestImage(const std::string& path, const ImageOptions& options);

// The same of bytes that are in memory already; `path` is for messages.
absl::StatusOr<GuestImage> ParseGuestImage(const std::string& path, std::vector<std::byte> file,
                                           const ImageOptions& options);

// The least memory size, in whole MiB, with which `image` can be started; nullopt if no size will
// do: a segment lies in the MMIO hole or beyond what a guest can have.
std::optional<uint64_t> MemoryNeeded(const GuestImage& image);

// InvalidArgument unless there is a memory size with which `image` can be started.
absl::Status CheckStartable(const GuestImage& image);

// InvalidArgument, naming the segment and the memory size to ask for, unless every segment lies in
// the memory of `layout`.
absl::Status CheckFits(const GuestImage& image, const GuestLayout& layout);

// Copies the segments into guest memory and zeroes what the file does not fill; nothing else is
// touched. Errors as GuestMemory::Write; then a part may have been written.
absl::Status WriteImage(const GuestImage& image, const GuestMemory& memory);

// What `vmwire inspect` prints: format, start mode, entry, segments, DMA windows and the memory
// needed, several lines, each ended by a newline.
std::string Describe(const GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_GUEST_IMAGE_H_
