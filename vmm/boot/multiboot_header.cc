#include "vmm/boot/multiboot_header.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/image_error.h"
#include "vmm/boot/multiboot2_tags.h"

namespace vmwire {
namespace {

// How a header of one version is found.
struct Signature {
  uint32_t magic;
  uint32_t alignment;
  uint64_t window;
  uint32_t words;  // Whose sum is zero.

  uint64_t size() const { return words * sizeof(uint32_t); }
};

constexpr Signature kSignature1 = {0x1badb002, 4, 8192, 3};
constexpr Signature kSignature2 = {0xe85250d6, 8, 32768, 4};

constexpr Signature SignatureOf(MultibootVersion version) {
  return version == MultibootVersion::k1 ? kSignature1 : kSignature2;
}

constexpr uint32_t kFlagVideo = 1 << 2;
// Bit 0 asks for page-aligned modules: they are always whole pages. Bit 1 asks to be told of
// memory: that is always told.
constexpr uint32_t kKnownRequiredFlags = 0x0007;
constexpr uint32_t kRequiredFlags = 0xffff;
constexpr uint32_t kFlagAddresses = 1 << 16;

bool HasMagic(const Signature& signature, const ByteReader& file, uint64_t offset) {
  return file.Load<uint32_t>(offset) == signature.magic;
}

// REQUIRES: the words lie in the file.
bool HasRightSum(const Signature& signature, const ByteReader& file, uint64_t offset) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < signature.words; ++i) {
    sum += file.Load<uint32_t>(offset + i * sizeof(uint32_t)).value_or(0);
  }
  return sum == 0;
}

// What is wrong with the magic at `offset`; empty if it looks like chance.
std::string ReasonOfStray(MultibootVersion version, const ByteReader& file, uint64_t offset) {
  const Signature signature = SignatureOf(version);
  const bool in_place =
      offset + signature.size() <= signature.window && offset % signature.alignment == 0;
  if (!file.Contains(offset, signature.size())) {
    return in_place ? absl::StrCat("a ", ToString(version), " header is truncated") : "";
  }
  const bool right_sum = HasRightSum(signature, file, offset);
  if (in_place) {
    return right_sum ? "" : absl::StrCat("a ", ToString(version), " header has a wrong checksum");
  }
  if (!right_sum) return "";
  return absl::StrFormat(
      "a %s header does not count here: it must lie in the first %d bytes of the file, aligned to "
      "%d",
      ToString(version), signature.window, signature.alignment);
}

absl::Status ReadFlags1(const std::string& path, uint32_t flags, MultibootHeader& header) {
  const uint32_t unknown = flags & kRequiredFlags & ~kKnownRequiredFlags;
  if (unknown != 0) {
    return ImageError(path, header.offset + 4,
                      absl::StrFormat("the multiboot header asks for what its flags 0x%x mean, "
                                      "which the specification does not say",
                                      unknown));
  }
  if ((flags & kFlagVideo) != 0) {
    header.findings.push_back("asks for a video mode, which it does not get: there is no display");
  }
  return absl::OkStatus();
}

absl::Status ReadAddresses1(const std::string& path, const ByteReader& file,
                            MultibootHeader& header) {
  constexpr uint64_t kAddressesOffset = 12;
  constexpr uint64_t kEntryOffset = 28;
  constexpr uint64_t kEnd = 32;
  if (!file.Contains(header.offset, kEnd) || header.offset + kEnd > kSignature1.window) {
    return ImageError(path, header.offset + kAddressesOffset,
                      absl::StrFormat("the multiboot header's addresses are truncated: they end "
                                      "past the file (0x%x) or its first %d bytes",
                                      file.size(), kSignature1.window));
  }
  const auto word = [&](uint64_t offset) {
    return file.Load<uint32_t>(header.offset + offset).value_or(0);
  };
  header.addresses = {.file_offset = header.offset + kAddressesOffset,
                      .header = word(kAddressesOffset),
                      .load = word(kAddressesOffset + 4),
                      .load_end = word(kAddressesOffset + 8),
                      .bss_end = word(kAddressesOffset + 12)};
  header.entry = {.file_offset = header.offset + kEntryOffset, .address = word(kEntryOffset)};
  return absl::OkStatus();
}

absl::Status ReadHeader1(const std::string& path, const ByteReader& file, MultibootHeader& header) {
  const uint32_t flags = file.Load<uint32_t>(header.offset + 4).value_or(0);
  header.findings.push_back(
      absl::StrFormat("multiboot header at file offset 0x%x, flags 0x%x", header.offset, flags));
  VMWIRE_RETURN_IF_ERROR(ReadFlags1(path, flags, header));
  if ((flags & kFlagAddresses) == 0) return absl::OkStatus();
  return ReadAddresses1(path, file, header);
}

absl::Status ReadHeader2(const std::string& path, const ByteReader& file, MultibootHeader& header) {
  const uint32_t architecture = file.Load<uint32_t>(header.offset + 4).value_or(0);
  const uint32_t length = file.Load<uint32_t>(header.offset + 8).value_or(0);
  if (architecture != 0) {
    return ImageError(
        path, header.offset + 4,
        absl::StrFormat("the multiboot2 header is for architecture %d; i386 is 0", architecture));
  }
  const uint64_t end = header.offset + length;
  if (length < kSignature2.size() || end > std::min(file.size(), kSignature2.window)) {
    return ImageError(path, header.offset + 8,
                      absl::StrFormat("the multiboot2 header says that it has %d bytes; it has %d "
                                      "or more, and must end in the first %d bytes of the file, "
                                      "which has %d",
                                      length, kSignature2.size(), kSignature2.window, file.size()));
  }
  header.findings.push_back(
      absl::StrFormat("multiboot2 header at file offset 0x%x, %d bytes", header.offset, length));
  return ReadMultiboot2Tags(path, file, header.offset + kSignature2.size(), end, header);
}

absl::Status NoHeader(MultibootVersion version, const std::string& path) {
  const Signature signature = SignatureOf(version);
  return ImageError(
      path, 0,
      absl::StrFormat("no %s header (magic 0x%08x, aligned to %d, and a right "
                      "checksum) in the first %d bytes",
                      ToString(version), signature.magic, signature.alignment, signature.window));
}

}  // namespace

std::string ToString(MultibootVersion version) {
  return version == MultibootVersion::k1 ? "multiboot" : "multiboot2";
}

std::optional<uint64_t> FindMultibootHeader(MultibootVersion version, const ByteReader& file) {
  const Signature signature = SignatureOf(version);
  const uint64_t end = std::min(file.size(), signature.window);
  for (uint64_t offset = 0; offset + signature.size() <= end; offset += signature.alignment) {
    if (!HasMagic(signature, file, offset)) continue;
    if (HasRightSum(signature, file, offset)) return offset;
  }
  return std::nullopt;
}

absl::Status CheckNoStrayMultibootHeader(MultibootVersion version, const std::string& path,
                                         const ByteReader& file) {
  if (FindMultibootHeader(version, file).has_value()) return absl::OkStatus();
  const Signature signature = SignatureOf(version);
  for (uint64_t offset = 0; file.Contains(offset, sizeof(uint32_t)); offset += 4) {
    if (!HasMagic(signature, file, offset)) continue;
    const std::string reason = ReasonOfStray(version, file, offset);
    if (!reason.empty()) return ImageError(path, offset, reason);
  }
  return absl::OkStatus();
}

absl::StatusOr<MultibootHeader> ReadMultibootHeader(MultibootVersion version,
                                                    const std::string& path,
                                                    const ByteReader& file) {
  const std::optional<uint64_t> offset = FindMultibootHeader(version, file);
  if (!offset.has_value()) {
    VMWIRE_RETURN_IF_ERROR(CheckNoStrayMultibootHeader(version, path, file));
    return NoHeader(version, path);
  }
  MultibootHeader header;
  header.version = version;
  header.offset = *offset;
  VMWIRE_RETURN_IF_ERROR(version == MultibootVersion::k1 ? ReadHeader1(path, file, header)
                                                         : ReadHeader2(path, file, header));
  return header;
}

}  // namespace vmwire
