#include "vmm/boot/bzimage_loader.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/image_error.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// Fields of the setup header by their offset in the file (boot.rst, "The Real-Mode Kernel Header").
constexpr uint64_t kSetupSectors = 0x1f1;
constexpr uint64_t kSystemSize = 0x1f4;
constexpr uint64_t kBootFlag = 0x1fe;
constexpr uint64_t kJump = 0x200;
constexpr uint64_t kMagic = 0x202;
constexpr uint64_t kVersion = 0x206;
constexpr uint64_t kKernelVersion = 0x20e;
constexpr uint64_t kLoadFlags = 0x211;
constexpr uint64_t kInitrdAddressMax = 0x22c;
constexpr uint64_t kKernelAlignment = 0x230;
constexpr uint64_t kRelocatableKernel = 0x234;
constexpr uint64_t kExtendedLoadFlags = 0x236;
constexpr uint64_t kCommandLineSize = 0x238;
constexpr uint64_t kPreferredAddress = 0x258;
constexpr uint64_t kInitSize = 0x260;

constexpr uint16_t kBootSignature = 0xaa55;
constexpr uint32_t kSetupMagic = 0x53726448;  // "HdrS"
constexpr uint8_t kShortJump = 0xeb;
constexpr uint8_t kLoadedHigh = 1 << 0;
constexpr uint16_t kHas64BitEntry = 1 << 0;

constexpr uint64_t kSectorSize = 512;
constexpr uint64_t kSystemSizeUnit = 16;
constexpr uint64_t k64BitEntryOffset = 0x200;

// Versions of the protocol and where the header of each ends, as far as this loader reads it.
constexpr uint16_t kVersionOfCommandLineSize = 0x206;
constexpr uint16_t kVersionOfPreferredAddress = 0x20a;
constexpr uint16_t kVersionOfExtendedLoadFlags = 0x20c;
constexpr uint64_t kEndOfCommandLineSize = 0x23c;
constexpr uint64_t kEndOfPreferredAddress = 0x264;

std::string VersionText(uint16_t version) {
  return absl::StrFormat("%d.%02d", version >> 8, version & 0xff);
}

// The fields that are used, each 0 where the version of the header does not have it.
struct SetupHeader {
  uint64_t end = 0;  // In the file.
  uint16_t version = 0;
  uint64_t kernel_offset = 0;  // In the file: the end of the setup sectors.
  uint64_t system_size = 0;    // In bytes.
  uint16_t version_text = 0;   // Where it lies, less one sector.
  uint32_t initrd_address_max = 0;
  bool relocatable = false;
  uint32_t alignment = 0;
  bool has_64_bit_entry = false;
  uint32_t command_line_size = 0;
  uint64_t preferred_address = 0;
  uint32_t init_size = 0;
};

absl::Status CheckMagic(const std::string& path, const ByteReader& file) {
  if (file.Load<uint16_t>(kBootFlag) != kBootSignature) {
    return ImageError(path, kBootFlag, "the signature of a boot sector (55 aa) is missing");
  }
  if (file.Load<uint32_t>(kMagic) != kSetupMagic) {
    return ImageError(path, kMagic, "the magic of Linux' setup header (\"HdrS\") is missing");
  }
  return absl::OkStatus();
}

absl::StatusOr<uint16_t> ReadVersion(const std::string& path, const ByteReader& file) {
  const std::optional<uint16_t> version = file.Load<uint16_t>(kVersion);
  if (!version.has_value()) {
    return ImageError(path, file.size(), "the setup header is truncated before its version");
  }
  if (*version < kVersionOfCommandLineSize) {
    return ImageError(
        path, kVersion,
        absl::StrFormat("boot protocol version %s; the oldest that can be started is %s",
                        VersionText(*version), VersionText(kVersionOfCommandLineSize)));
  }
  return *version;
}

// The jump over the header says where that ends. A header that the jump does not lead past, or that
// is longer than a forward jump reaches, does not exist: the zero page has no room for it either.
absl::StatusOr<uint64_t> ReadHeaderEnd(const std::string& path, uint16_t version,
                                       const ByteReader& file) {
  const uint8_t opcode = file.Load<uint8_t>(kJump).value_or(0);
  if (opcode != kShortJump) {
    return ImageError(path, kJump,
                      absl::StrFormat("the setup header has no short jump (eb) over it, but the "
                                      "byte %02x",
                                      opcode));
  }
  const uint8_t distance = file.Load<uint8_t>(kJump + 1).value_or(0);
  if (distance > 0x7f) {
    return ImageError(path, kJump + 1,
                      absl::StrFormat("the jump over the setup header goes back (%02x)", distance));
  }
  const uint64_t end = kMagic + distance;
  const uint64_t least =
      version >= kVersionOfPreferredAddress ? kEndOfPreferredAddress : kEndOfCommandLineSize;
  if (end < least) {
    return ImageError(
        path, kJump + 1,
        absl::StrFormat("the setup header ends at 0x%x; that of version %s has fields up to 0x%x",
                        end, VersionText(version), least));
  }
  if (end > file.size()) {
    return ImageError(path, file.size(),
                      absl::StrFormat("the setup header is truncated: it ends at 0x%x", end));
  }
  return end;
}

// REQUIRES: the file holds the header up to `end`.
SetupHeader ReadFields(uint16_t version, uint64_t end, const ByteReader& file) {
  SetupHeader header{.end = end, .version = version};
  const uint8_t sectors = file.Load<uint8_t>(kSetupSectors).value_or(0);
  header.kernel_offset = (uint64_t{1} + (sectors == 0 ? 4 : sectors)) * kSectorSize;
  header.system_size = file.Load<uint32_t>(kSystemSize).value_or(0) * kSystemSizeUnit;
  header.version_text = file.Load<uint16_t>(kKernelVersion).value_or(0);
  header.initrd_address_max = file.Load<uint32_t>(kInitrdAddressMax).value_or(0);
  header.alignment = file.Load<uint32_t>(kKernelAlignment).value_or(0);
  header.relocatable = file.Load<uint8_t>(kRelocatableKernel).value_or(0) != 0;
  header.command_line_size = file.Load<uint32_t>(kCommandLineSize).value_or(0);
  if (version >= kVersionOfPreferredAddress) {
    header.preferred_address = file.Load<uint64_t>(kPreferredAddress).value_or(0);
    header.init_size = file.Load<uint32_t>(kInitSize).value_or(0);
  }
  if (version >= kVersionOfExtendedLoadFlags) {
    header.has_64_bit_entry =
        (file.Load<uint16_t>(kExtendedLoadFlags).value_or(0) & kHas64BitEntry) != 0;
  }
  return header;
}

absl::Status CheckSizes(const std::string& path, const SetupHeader& header,
                        const ByteReader& file) {
  if (header.kernel_offset >= file.size()) {
    return ImageError(path, kSetupSectors,
                      absl::StrFormat("the setup sectors end at 0x%x, where the file (0x%x) has "
                                      "nothing left for the kernel; is it truncated?",
                                      header.kernel_offset, file.size()));
  }
  // The last of the units need not be whole.
  const uint64_t kernel_size = file.size() - header.kernel_offset;
  if (header.system_size >= kernel_size + kSystemSizeUnit) {
    return ImageError(path, kSystemSize,
                      absl::StrFormat("the kernel has 0x%x bytes from 0x%x on, but the file ends "
                                      "at 0x%x; is it truncated?",
                                      header.system_size, header.kernel_offset, file.size()));
  }
  return absl::OkStatus();
}

absl::StatusOr<SetupHeader> ReadSetupHeader(const std::string& path, const ByteReader& file) {
  VMWIRE_RETURN_IF_ERROR(CheckMagic(path, file));
  VMWIRE_ASSIGN_OR_RETURN(const uint16_t version, ReadVersion(path, file));
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t end, ReadHeaderEnd(path, version, file));
  if ((file.Load<uint8_t>(kLoadFlags).value_or(0) & kLoadedHigh) == 0) {
    return ImageError(path, kLoadFlags,
                      "a kernel for low memory (zImage); only bzImage can be started");
  }
  const SetupHeader header = ReadFields(version, end, file);
  VMWIRE_RETURN_IF_ERROR(CheckSizes(path, header, file));
  return header;
}

absl::StatusOr<StartMode> ChooseStart(const std::string& path, std::optional<StartMode> asked,
                                      bool has_64_bit_entry) {
  const StartMode start =
      asked.value_or(has_64_bit_entry ? StartMode::kLong64Ring0 : StartMode::kProtected32);
  if (start == StartMode::kLong64Ring0 && !has_64_bit_entry) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": this kernel has no 64-bit entry, so that it starts in protected32 only"));
  }
  if (start != StartMode::kLong64Ring0 && start != StartMode::kProtected32) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": a Linux bzImage starts in long64-ring0 or protected32, not in ", ToString(start)));
  }
  return start;
}

// Where the kernel lies. One that can be relocated moves itself up to its alignment, and counts its
// room from there, so it is put there at once.
absl::StatusOr<uint64_t> ChooseAddress(const std::string& path, const SetupHeader& header) {
  const uint64_t address = std::max(header.preferred_address, kImageAddress.value());
  if (!header.relocatable) return address;
  if (!std::has_single_bit(header.alignment)) {
    return ImageError(
        path, kKernelAlignment,
        absl::StrFormat("the kernel's alignment 0x%x is no power of 2", header.alignment));
  }
  const std::optional<uint64_t> aligned = CheckedAlignUp(address, header.alignment);
  if (!aligned.has_value()) {
    return ImageError(path, kPreferredAddress,
                      absl::StrFormat("the kernel's address 0x%x, aligned to 0x%x, wraps", address,
                                      header.alignment));
  }
  return *aligned;
}

absl::StatusOr<ImageSegment> MakeSegment(const std::string& path, const SetupHeader& header,
                                         uint64_t file_size) {
  VMWIRE_ASSIGN_OR_RETURN(const uint64_t address, ChooseAddress(path, header));
  const uint64_t kernel_size = file_size - header.kernel_offset;
  const uint64_t memory_size = std::max<uint64_t>(kernel_size, header.init_size);
  constexpr uint64_t kEnd = 4 * kGiB;
  if (memory_size > kEnd || address > kEnd - memory_size) {
    return ImageError(path, kPreferredAddress,
                      absl::StrFormat("the kernel is to lie at 0x%x and takes 0x%x bytes, which "
                                      "ends past 4 GiB",
                                      address, memory_size));
  }
  return ImageSegment{.address = GuestAddress(address),
                      .memory_size = memory_size,
                      .file_offset = header.kernel_offset,
                      .file_size = kernel_size,
                      .protection = Protection::kAll};
}

// The version text, with a question mark for what no terminal should get.
absl::StatusOr<std::string> ReadVersionText(const std::string& path, const SetupHeader& header,
                                            const ByteReader& file) {
  std::string text;
  if (header.version_text == 0) return text;
  for (uint64_t at = header.version_text + kSectorSize; at < header.kernel_offset; ++at) {
    const uint8_t byte = file.Load<uint8_t>(at).value_or(0);
    if (byte == 0) return text;
    text += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  }
  return ImageError(path, kKernelVersion,
                    absl::StrFormat("the kernel's version text at 0x%x has no end in the setup "
                                    "sectors, which end at 0x%x",
                                    header.version_text + kSectorSize, header.kernel_offset));
}

absl::StatusOr<LinuxSetup> MakeSetup(const std::string& path, const SetupHeader& header,
                                     const ByteReader& file) {
  LinuxSetup setup;
  setup.initrd_address_max = header.initrd_address_max;
  setup.command_line_size = header.command_line_size;
  // ReadHeaderEnd has seen that the file holds them.
  const auto bytes = file.Bytes(kSetupHeaderOffset, header.end - kSetupHeaderOffset)
                         .value_or(std::span<const std::byte>());
  setup.header.assign(bytes.begin(), bytes.end());
  VMWIRE_ASSIGN_OR_RETURN(setup.version, ReadVersionText(path, header, file));
  return setup;
}

}  // namespace

bool HasLinuxSetupHeader(std::span<const std::byte> file) {
  const ByteReader reader(file);
  return reader.Load<uint16_t>(kBootFlag) == kBootSignature &&
         reader.Load<uint32_t>(kMagic) == kSetupMagic;
}

absl::Status LoadBzImage(std::optional<StartMode> start, GuestImage& image) {
  const ByteReader file(image.file);
  VMWIRE_ASSIGN_OR_RETURN(const SetupHeader header, ReadSetupHeader(image.path, file));
  VMWIRE_ASSIGN_OR_RETURN(image.start, ChooseStart(image.path, start, header.has_64_bit_entry));
  VMWIRE_ASSIGN_OR_RETURN(const ImageSegment segment, MakeSegment(image.path, header, file.size()));
  const uint64_t entry_offset = image.start == StartMode::kLong64Ring0 ? k64BitEntryOffset : 0;
  if (entry_offset >= segment.file_size) {
    return ImageError(image.path, kExtendedLoadFlags,
                      absl::StrFormat("the kernel has 0x%x bytes, and its 64-bit entry would lie "
                                      "behind them, at 0x%x",
                                      segment.file_size, entry_offset));
  }
  VMWIRE_ASSIGN_OR_RETURN(image.linux_setup, MakeSetup(image.path, header, file));
  image.format = ImageFormat::kBzImage;
  image.entry = GuestAddress(segment.address.value() + entry_offset);
  image.segments = {segment};
  return absl::OkStatus();
}

}  // namespace vmwire
