#include "vmm/boot/elf_notes.h"

#include <cstddef>
#include <cstring>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/elf_header.h"

namespace vmwire {
namespace {

constexpr char kOwner[] = "vmwire";  // Stored with its terminating zero.

struct Note {
  uint64_t offset;  // In the file, of the note's header.
  uint64_t description_offset;
  std::span<const std::byte> owner;
  uint32_t type;
  ByteReader description;
};

bool IsOurs(const Note& note) {
  return note.owner.size() == sizeof(kOwner) &&
         std::memcmp(note.owner.data(), kOwner, sizeof(kOwner)) == 0;
}

absl::Status ReadStartMode(const std::string& path, const Note& note, ElfNotes& notes) {
  if (note.description.size() != sizeof(uint32_t)) {
    return ElfError(path, note.offset,
                    absl::StrFormat("the vmwire start mode note has %d bytes; it has 4",
                                    note.description.size()));
  }
  if (notes.start.has_value()) {
    return ElfError(path, note.offset, "a second vmwire start mode note");
  }
  const uint32_t value = note.description.Load<uint32_t>(0).value_or(UINT32_MAX);
  if (value > 1) {
    return ElfError(
        path, note.description_offset,
        absl::StrFormat("unknown vmwire start mode %d: 0 is long64-ring0, 1 is long64-ring3",
                        value));
  }
  notes.start = value == 0 ? StartMode::kLong64Ring0 : StartMode::kLong64Ring3;
  return absl::OkStatus();
}

absl::Status ReadDmaWindows(const std::string& path, const Note& note, ElfNotes& notes) {
  constexpr uint64_t kEntrySize = 2 * sizeof(uint64_t);
  const uint64_t size = note.description.size();
  if (size == 0 || size % kEntrySize != 0) {
    return ElfError(path, note.offset,
                    absl::StrFormat("the vmwire DMA windows note has %d bytes; it has 16 for each "
                                    "window, and at least one window",
                                    size));
  }
  if (size / kEntrySize > kMaxDmaWindows - notes.dma_windows.size()) {
    return ElfError(path, note.offset,
                    absl::StrCat("more than ", kMaxDmaWindows, " vmwire DMA windows"));
  }
  for (uint64_t offset = 0; offset < size; offset += kEntrySize) {
    const uint64_t start = note.description.Load<uint64_t>(offset).value_or(0);
    const uint64_t length = note.description.Load<uint64_t>(offset + sizeof(uint64_t)).value_or(0);
    absl::StatusOr<GuestRange> window = GuestRange::Create(GuestAddress(start), length);
    if (!window.ok()) {
      return ElfError(path, note.description_offset + offset,
                      absl::StrCat("a bad vmwire DMA window: ", window.status().message()));
    }
    notes.dma_windows.push_back(*window);
  }
  return absl::OkStatus();
}

absl::Status ReadNote(const std::string& path, const Note& note, ElfNotes& notes) {
  switch (note.type) {
    case kStartModeNote:
      return ReadStartMode(path, note, notes);
    case kDmaWindowsNote:
      return ReadDmaWindows(path, note, notes);
    default:
      return ElfError(path, note.offset,
                      absl::StrFormat("unknown vmwire note type %d: this version knows 1 (start "
                                      "mode) and 2 (DMA windows)",
                                      note.type));
  }
}

// `size` rounded up to `alignment`. Sizes in a note have 32 bits, so nothing wraps.
uint64_t Padded(uint64_t size, uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

}  // namespace

absl::Status ReadElfNotes(const std::string& path, const ByteReader& file, const Elf64_Phdr& header,
                          ElfNotes& notes) {
  const std::optional<std::span<const std::byte>> bytes =
      file.Bytes(header.p_offset, header.p_filesz);
  if (!bytes.has_value()) {
    return ElfError(path, header.p_offset,
                    absl::StrFormat("a note segment of 0x%x bytes reaches past the end of the "
                                    "file (0x%x)",
                                    header.p_filesz, file.size()));
  }
  const ByteReader segment(*bytes);
  // Names and descriptions are padded to 4 bytes, but to 8 in segments that are aligned to 8 (as
  // .note.gnu.property is).
  const uint64_t alignment = header.p_align == 8 ? 8 : 4;
  uint64_t offset = 0;
  while (offset < segment.size()) {
    const uint64_t file_offset = header.p_offset + offset;
    const std::optional<Elf64_Nhdr> head = segment.Load<Elf64_Nhdr>(offset);
    if (!head.has_value()) return ElfError(path, file_offset, "a note's header is truncated");
    const uint64_t name_offset = offset + sizeof(Elf64_Nhdr);
    const uint64_t description_offset = Padded(name_offset + head->n_namesz, alignment);
    const auto name = segment.Bytes(name_offset, head->n_namesz);
    const auto description = segment.Bytes(description_offset, head->n_descsz);
    if (!name.has_value() || !description.has_value()) {
      return ElfError(path, file_offset, "a note reaches past the end of its segment");
    }
    const Note note{.offset = file_offset,
                    .description_offset = header.p_offset + description_offset,
                    .owner = *name,
                    .type = head->n_type,
                    .description = ByteReader(*description)};
    if (IsOurs(note)) VMWIRE_RETURN_IF_ERROR(ReadNote(path, note, notes));
    offset = Padded(description_offset + head->n_descsz, alignment);
  }
  return absl::OkStatus();
}

}  // namespace vmwire
