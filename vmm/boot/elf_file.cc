#include "vmm/boot/elf_file.h"

#include <elf.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/image_error.h"

namespace vmwire {
namespace {

absl::Status SegmentError(const std::string& path, const ElfProgramHeader& header, uint64_t offset,
                          const std::string& reason) {
  return ImageError(path, offset, absl::StrCat("program header ", header.index, ": ", reason));
}

Protection ProtectionOf(uint32_t flags) {
  Protection protection = Protection::kNone;
  if ((flags & PF_R) != 0) protection = protection | Protection::kRead;
  if ((flags & PF_W) != 0) protection = protection | Protection::kWrite;
  if ((flags & PF_X) != 0) protection = protection | Protection::kExecute;
  return protection;
}

absl::Status CheckSegment(const std::string& path, const ElfProgramHeader& header,
                          const ByteReader& file) {
  if (!file.Contains(header.offset, header.file_size)) {
    return SegmentError(path, header, header.at.offset,
                        absl::StrFormat("its bytes (0x%x+0x%x) reach past the end of the file "
                                        "(0x%x); is it truncated?",
                                        header.offset, header.file_size, file.size()));
  }
  if (header.memory_size < header.file_size) {
    return SegmentError(path, header, header.at.memory_size,
                        absl::StrFormat("smaller in memory (0x%x bytes) than in the file (0x%x)",
                                        header.memory_size, header.file_size));
  }
  if (!GuestAddress(header.physical_address).CheckedAdd(header.memory_size).has_value()) {
    return SegmentError(path, header, header.at.physical_address,
                        absl::StrFormat("its memory 0x%x+0x%x ends beyond 64 bits",
                                        header.physical_address, header.memory_size));
  }
  if (header.physical_address < kImageAddress.value()) {
    return SegmentError(path, header, header.at.physical_address,
                        absl::StrFormat("its address 0x%x is below 1 MiB, which is for the "
                                        "monitor's boot structures; link at 0x%x or above",
                                        header.physical_address, kImageAddress.value()));
  }
  return absl::OkStatus();
}

absl::Status ReadSegment(const std::string& path, const ElfProgramHeader& header,
                         const ByteReader& file, ElfFile& elf) {
  // Linkers leave empty ones, at whatever address.
  if (header.memory_size == 0 && header.file_size == 0) return absl::OkStatus();
  VMWIRE_RETURN_IF_ERROR(CheckSegment(path, header, file));
  elf.segments.push_back({.segment = {.address = GuestAddress(header.physical_address),
                                      .memory_size = header.memory_size,
                                      .file_offset = header.offset,
                                      .file_size = header.file_size,
                                      .protection = ProtectionOf(header.flags)},
                          .virtual_address = header.virtual_address,
                          .index = header.index,
                          .address_offset = header.at.physical_address});
  return absl::OkStatus();
}

// Handles one program header: a segment to load, a note, or something that only some may have.
absl::Status ReadProgramHeader(const std::string& path, const ElfProgramHeader& header,
                               const ByteReader& file, ElfFile& elf) {
  switch (header.type) {
    case PT_INTERP:
    case PT_DYNAMIC:
      if (!elf.dynamic.has_value()) elf.dynamic = header;
      return absl::OkStatus();
    case PT_NOTE:
      return ReadElfNotes(path, file, header, elf.notes);
    case PT_LOAD:
      return ReadSegment(path, header, file, elf);
    default:
      return absl::OkStatus();
  }
}

// REQUIRES: `segments` are in the order of their addresses.
absl::Status CheckDisjoint(const std::string& path, const std::vector<ElfSegment>& segments) {
  for (size_t i = 1; i < segments.size(); ++i) {
    const ElfSegment& lower = segments[i - 1];
    const ElfSegment& upper = segments[i];
    if (lower.segment.end() <= upper.segment.address) continue;
    return ImageError(
        path, upper.address_offset,
        absl::StrFormat("program header %d: its memory [0x%x, 0x%x) overlaps that of program "
                        "header %d [0x%x, 0x%x)",
                        upper.index, upper.segment.address.value(), upper.segment.end().value(),
                        lower.index, lower.segment.address.value(), lower.segment.end().value()));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<ImageSegment> ElfFile::ImageSegments() const {
  std::vector<ImageSegment> result;
  for (const ElfSegment& loaded : segments) result.push_back(loaded.segment);
  return result;
}

absl::StatusOr<ElfFile> ReadElfFile(const std::string& path, const ByteReader& file) {
  ElfFile elf;
  VMWIRE_ASSIGN_OR_RETURN(elf.header, ReadElfHeader(path, file));
  for (uint32_t i = 0; i < elf.header.count; ++i) {
    VMWIRE_ASSIGN_OR_RETURN(const ElfProgramHeader header,
                            ReadElfProgramHeader(path, elf.header, i, file));
    VMWIRE_RETURN_IF_ERROR(ReadProgramHeader(path, header, file, elf));
  }
  if (elf.segments.empty()) {
    return ImageError(path, elf.header.table_offset,
                      "no PT_LOAD segment: there is nothing to load");
  }
  std::sort(elf.segments.begin(), elf.segments.end(), [](const ElfSegment& a, const ElfSegment& b) {
    return a.segment.address < b.segment.address;
  });
  VMWIRE_RETURN_IF_ERROR(CheckDisjoint(path, elf.segments));
  return elf;
}

bool IsExecutable(const std::vector<ImageSegment>& segments, GuestAddress address) {
  return std::any_of(segments.begin(), segments.end(), [&](const ImageSegment& segment) {
    return Allows(segment.protection, Protection::kExecute) && segment.address <= address &&
           address < segment.end();
  });
}

absl::StatusOr<GuestAddress> KernelEntry(const std::string& path, const ElfFile& elf) {
  const GuestAddress physical(elf.header.entry);
  if (IsExecutable(elf.ImageSegments(), physical)) return physical;
  for (const ElfSegment& loaded : elf.segments) {
    if (!Allows(loaded.segment.protection, Protection::kExecute)) continue;
    if (elf.header.entry < loaded.virtual_address) continue;
    const uint64_t offset = elf.header.entry - loaded.virtual_address;
    if (offset >= loaded.segment.memory_size) continue;
    return GuestAddress(loaded.segment.address.value() + offset);
  }
  return ImageError(path, elf.header.entry_offset,
                    absl::StrFormat("the entry 0x%x lies in no executable segment, neither by "
                                    "physical (p_paddr) nor by virtual addresses (p_vaddr)",
                                    elf.header.entry));
}

}  // namespace vmwire
