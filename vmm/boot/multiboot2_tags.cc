#include "vmm/boot/multiboot2_tags.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/image_error.h"

namespace vmwire {
namespace {

constexpr uint64_t kTagHeaderSize = 8;
constexpr uint64_t kTagAlignment = 8;
constexpr uint16_t kOptional = 1;

// The highest type of boot information that the specification names.
constexpr uint32_t kLastInformationType = 21;
constexpr uint32_t kConsoleRequired = 1;

enum TagType : uint16_t {
  kEnd = 0,
  kInformationRequest = 1,
  kAddresses = 2,
  kEntry = 3,
  kConsoleFlags = 4,
  kFramebuffer = 5,
  kModuleAlignment = 6,
  kEfiBootServices = 7,
  kEfiEntry32 = 8,
  kEfiEntry64 = 9,
  kRelocatable = 10,
};

struct Tag {
  uint64_t offset;  // In the file.
  uint16_t type;
  uint16_t flags;
  uint32_t size;

  bool IsOptional() const { return (flags & kOptional) != 0; }
};

absl::Status TagError(const std::string& path, const Tag& tag, const std::string& reason) {
  return ImageError(path, tag.offset, absl::StrCat("multiboot2 tag ", tag.type, ": ", reason));
}

uint32_t Word(const ByteReader& file, uint64_t offset) {
  return file.Load<uint32_t>(offset).value_or(0);
}

// How large a tag of `type` is; 0: as it says, or of no interest.
uint32_t SizeOf(uint16_t type) {
  switch (type) {
    case kAddresses:
      return 24;
    case kEntry:
    case kConsoleFlags:
      return 12;
    default:
      return 0;
  }
}

absl::StatusOr<Tag> ReadTag(const std::string& path, const ByteReader& file, uint64_t offset,
                            uint64_t end) {
  if (end - offset < kTagHeaderSize) {
    return ImageError(path, offset, "the multiboot2 header ends without an end tag");
  }
  const Tag tag = {.offset = offset,
                   .type = file.Load<uint16_t>(offset).value_or(0),
                   .flags = file.Load<uint16_t>(offset + 2).value_or(0),
                   .size = Word(file, offset + 4)};
  if (tag.size < kTagHeaderSize || tag.size > end - offset) {
    return TagError(path, tag,
                    absl::StrFormat("its size of %d bytes leaves the header, or is less than %d",
                                    tag.size, kTagHeaderSize));
  }
  const uint32_t size = SizeOf(tag.type);
  if (size != 0 && tag.size < size) {
    return TagError(path, tag, absl::StrFormat("has %d bytes; it has %d", tag.size, size));
  }
  return tag;
}

absl::Status ReadRequest(const std::string& path, const ByteReader& file, const Tag& tag) {
  if (tag.IsOptional()) return absl::OkStatus();
  for (uint64_t at = kTagHeaderSize; at + sizeof(uint32_t) <= tag.size; at += sizeof(uint32_t)) {
    const uint32_t type = Word(file, tag.offset + at);
    if (type <= kLastInformationType) continue;
    return ImageError(path, tag.offset + at,
                      absl::StrFormat("the multiboot2 header asks for information of type %d, "
                                      "which the specification does not name",
                                      type));
  }
  return absl::OkStatus();
}

absl::Status ReadAddresses(const std::string& path, const ByteReader& file, const Tag& tag,
                           MultibootHeader& header) {
  if (header.addresses.has_value()) return TagError(path, tag, "a second one of addresses");
  const uint64_t at = tag.offset + kTagHeaderSize;
  header.addresses = {.file_offset = at,
                      .header = Word(file, at),
                      .load = Word(file, at + 4),
                      .load_end = Word(file, at + 8),
                      .bss_end = Word(file, at + 12)};
  return absl::OkStatus();
}

absl::Status ReadEntry(const std::string& path, const ByteReader& file, const Tag& tag,
                       MultibootHeader& header) {
  if (header.entry.has_value()) return TagError(path, tag, "a second one of an entry");
  const uint64_t at = tag.offset + kTagHeaderSize;
  header.entry = {.file_offset = at, .address = Word(file, at)};
  return absl::OkStatus();
}

absl::Status ReadConsoleFlags(const std::string& path, const ByteReader& file, const Tag& tag) {
  const bool required = (Word(file, tag.offset + kTagHeaderSize) & kConsoleRequired) != 0;
  if (!required || tag.IsOptional()) return absl::OkStatus();
  return TagError(path, tag, "asks for a text or graphics console, and there is no display");
}

absl::Status HandleTag(const std::string& path, const ByteReader& file, const Tag& tag,
                       MultibootHeader& header) {
  switch (tag.type) {
    case kInformationRequest:
      return ReadRequest(path, file, tag);
    case kAddresses:
      return ReadAddresses(path, file, tag, header);
    case kEntry:
      return ReadEntry(path, file, tag, header);
    case kConsoleFlags:
      return ReadConsoleFlags(path, file, tag);
    case kFramebuffer:
      header.findings.push_back("prefers a framebuffer, which it does not get: there is none");
      return absl::OkStatus();
    case kModuleAlignment:  // Modules are always whole pages.
    case kEfiBootServices:
    case kEfiEntry32:
    case kEfiEntry64:
    case kRelocatable:
      return absl::OkStatus();
    default:
      if (tag.IsOptional()) return absl::OkStatus();
      return TagError(path, tag, "unknown, and not marked as optional");
  }
}

}  // namespace

absl::Status ReadMultiboot2Tags(const std::string& path, const ByteReader& file, uint64_t start,
                                uint64_t end, MultibootHeader& header) {
  uint64_t offset = start;
  while (true) {
    VMWIRE_ASSIGN_OR_RETURN(const Tag tag, ReadTag(path, file, offset, end));
    if (tag.type == kEnd) break;
    VMWIRE_RETURN_IF_ERROR(HandleTag(path, file, tag, header));
    // Sizes are within the header, so that nothing wraps; the padding of the last may leave it.
    const uint64_t size = (tag.size + kTagAlignment - 1) / kTagAlignment * kTagAlignment;
    offset = size < end - offset ? offset + size : end;
  }
  if (header.addresses.has_value() && !header.entry.has_value()) {
    return ImageError(path, header.addresses->file_offset,
                      "the multiboot2 header has a tag of addresses but none of an entry");
  }
  return absl::OkStatus();
}

}  // namespace vmwire
