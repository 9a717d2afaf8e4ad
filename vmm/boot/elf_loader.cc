#include "vmm/boot/elf_loader.h"

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/elf_header.h"
#include "vmm/boot/elf_notes.h"

namespace vmwire {
namespace {

// A program header and where it lies in the file.
struct ProgramHeader {
  uint32_t index;
  uint64_t offset;
  Elf64_Phdr fields;
};

// A segment and the program header that it came from, for messages.
struct LoadedSegment {
  ImageSegment segment;
  uint32_t index;
  uint64_t offset;
};

absl::Status SegmentError(const std::string& path, const ProgramHeader& header, uint64_t field,
                          const std::string& reason) {
  return ElfError(path, header.offset + field,
                  absl::StrCat("program header ", header.index, ": ", reason));
}

Protection ProtectionOf(uint32_t flags) {
  Protection protection = Protection::kNone;
  if ((flags & PF_R) != 0) protection = protection | Protection::kRead;
  if ((flags & PF_W) != 0) protection = protection | Protection::kWrite;
  if ((flags & PF_X) != 0) protection = protection | Protection::kExecute;
  return protection;
}

absl::Status CheckSegment(const std::string& path, const ProgramHeader& header,
                          const ByteReader& file) {
  const Elf64_Phdr& fields = header.fields;
  if (!file.Contains(fields.p_offset, fields.p_filesz)) {
    return SegmentError(path, header, offsetof(Elf64_Phdr, p_offset),
                        absl::StrFormat("its bytes (0x%x+0x%x) reach past the end of the file "
                                        "(0x%x); is it truncated?",
                                        fields.p_offset, fields.p_filesz, file.size()));
  }
  if (fields.p_memsz < fields.p_filesz) {
    return SegmentError(path, header, offsetof(Elf64_Phdr, p_memsz),
                        absl::StrFormat("smaller in memory (0x%x bytes) than in the file (0x%x)",
                                        fields.p_memsz, fields.p_filesz));
  }
  if (!GuestAddress(fields.p_paddr).CheckedAdd(fields.p_memsz).has_value()) {
    return SegmentError(path, header, offsetof(Elf64_Phdr, p_paddr),
                        absl::StrFormat("its memory 0x%x+0x%x ends beyond 64 bits", fields.p_paddr,
                                        fields.p_memsz));
  }
  if (fields.p_paddr < kImageAddress.value()) {
    return SegmentError(path, header, offsetof(Elf64_Phdr, p_paddr),
                        absl::StrFormat("its address 0x%x is below 1 MiB, which is for the "
                                        "monitor's boot structures; link at 0x%x or above",
                                        fields.p_paddr, kImageAddress.value()));
  }
  return absl::OkStatus();
}

// Handles one program header: a segment to load, a note, or something that is refused.
absl::Status ReadProgramHeader(const std::string& path, const ProgramHeader& header,
                               const ByteReader& file, std::vector<LoadedSegment>& segments,
                               ElfNotes& notes) {
  const Elf64_Phdr& fields = header.fields;
  switch (fields.p_type) {
    case PT_INTERP:
    case PT_DYNAMIC:
      return SegmentError(path, header, offsetof(Elf64_Phdr, p_type),
                          "a dynamic executable; link with -static -no-pie");
    case PT_NOTE:
      return ReadElfNotes(path, file, fields, notes);
    case PT_LOAD:
      break;
    default:
      return absl::OkStatus();
  }
  VMWIRE_RETURN_IF_ERROR(CheckSegment(path, header, file));
  if (fields.p_memsz == 0) return absl::OkStatus();
  segments.push_back({.segment = {.address = GuestAddress(fields.p_paddr),
                                  .memory_size = fields.p_memsz,
                                  .file_offset = fields.p_offset,
                                  .file_size = fields.p_filesz,
                                  .protection = ProtectionOf(fields.p_flags)},
                      .index = header.index,
                      .offset = header.offset});
  return absl::OkStatus();
}

// REQUIRES: `segments` are in the order of their addresses.
absl::Status CheckDisjoint(const std::string& path, const std::vector<LoadedSegment>& segments) {
  for (size_t i = 1; i < segments.size(); ++i) {
    const LoadedSegment& lower = segments[i - 1];
    const LoadedSegment& upper = segments[i];
    if (lower.segment.end() <= upper.segment.address) continue;
    return ElfError(
        path, upper.offset + offsetof(Elf64_Phdr, p_paddr),
        absl::StrFormat("program header %d: its memory [0x%x, 0x%x) overlaps that of program "
                        "header %d [0x%x, 0x%x)",
                        upper.index, upper.segment.address.value(), upper.segment.end().value(),
                        lower.index, lower.segment.address.value(), lower.segment.end().value()));
  }
  return absl::OkStatus();
}

absl::Status CheckEntry(const GuestImage& image) {
  for (const ImageSegment& segment : image.segments) {
    if (Allows(segment.protection, Protection::kExecute) && segment.address <= image.entry &&
        image.entry < segment.end()) {
      return absl::OkStatus();
    }
  }
  return ElfError(image.path, offsetof(Elf64_Ehdr, e_entry),
                  absl::StrFormat("the entry 0x%x lies in no executable segment (of the physical "
                                  "addresses, p_paddr)",
                                  image.entry.value()));
}

absl::StatusOr<StartMode> ChooseStart(const std::string& path, std::optional<StartMode> asked,
                                      std::optional<StartMode> noted) {
  if (!asked.has_value()) return noted.value_or(StartMode::kLong64Ring0);
  if (IsLongMode(*asked)) return *asked;
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": an ELF64 image starts in long64-ring0 or long64-ring3, not in ", ToString(*asked)));
}

}  // namespace

bool HasElfMagic(std::span<const std::byte> file) {
  return file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
}

absl::Status LoadElf(std::optional<StartMode> start, GuestImage& image) {
  const ByteReader file(image.file);
  VMWIRE_ASSIGN_OR_RETURN(const Elf64_Ehdr elf, ReadElfHeader(image.path, file));
  std::vector<LoadedSegment> segments;
  ElfNotes notes;
  for (uint32_t i = 0; i < elf.e_phnum; ++i) {
    const uint64_t offset = elf.e_phoff + i * sizeof(Elf64_Phdr);
    const std::optional<Elf64_Phdr> fields = file.Load<Elf64_Phdr>(offset);
    if (!fields.has_value()) return ElfError(image.path, offset, "a program header is truncated");
    const ProgramHeader header{.index = i, .offset = offset, .fields = *fields};
    VMWIRE_RETURN_IF_ERROR(ReadProgramHeader(image.path, header, file, segments, notes));
  }
  if (segments.empty()) {
    return ElfError(image.path, elf.e_phoff, "no PT_LOAD segment: there is nothing to load");
  }
  std::sort(segments.begin(), segments.end(), [](const LoadedSegment& a, const LoadedSegment& b) {
    return a.segment.address < b.segment.address;
  });
  VMWIRE_RETURN_IF_ERROR(CheckDisjoint(image.path, segments));
  VMWIRE_ASSIGN_OR_RETURN(image.start, ChooseStart(image.path, start, notes.start));
  image.format = ImageFormat::kElf64;
  image.entry = GuestAddress(elf.e_entry);
  image.dma_windows = std::move(notes.dma_windows);
  image.segments.clear();
  for (const LoadedSegment& loaded : segments) image.segments.push_back(loaded.segment);
  return CheckEntry(image);
}

}  // namespace vmwire
