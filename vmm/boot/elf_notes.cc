#include "vmm/boot/elf_notes.h"

#include <elf.h>

#include <cstddef>
#include <cstring>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/image_error.h"

namespace vmwire {
namespace {

// Owners are stored with their terminating zero.
constexpr char kOwner[] = "vmwire";
constexpr char kXenOwner[] = "Xen";
constexpr char kLinuxOwner[] = "Linux";

struct Note {
  uint64_t offset;  // In the file, of the note's header.
  uint64_t description_offset;
  std::span<const std::byte> owner;
  uint32_t type;
  ByteReader description;
};

template <size_t kSize>
bool IsOf(const char (&owner)[kSize], const Note& note) {
  return note.owner.size() == kSize && std::memcmp(note.owner.data(), owner, kSize) == 0;
}

absl::Status ReadStartMode(const std::string& path, const Note& note, ElfNotes& notes) {
  if (note.description.size() != sizeof(uint32_t)) {
    return ImageError(path, note.offset,
                      absl::StrFormat("the vmwire start mode note has %d bytes; it has 4",
                                      note.description.size()));
  }
  if (notes.start.has_value()) {
    return ImageError(path, note.offset, "a second vmwire start mode note");
  }
  const uint32_t value = note.description.Load<uint32_t>(0).value_or(UINT32_MAX);
  if (value > 1) {
    return ImageError(
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
    return ImageError(
        path, note.offset,
        absl::StrFormat("the vmwire DMA windows note has %d bytes; it has 16 for each "
                        "window, and at least one window",
                        size));
  }
  if (size / kEntrySize > kMaxDmaWindows - notes.dma_windows.size()) {
    return ImageError(path, note.offset,
                      absl::StrCat("more than ", kMaxDmaWindows, " vmwire DMA windows"));
  }
  for (uint64_t offset = 0; offset < size; offset += kEntrySize) {
    const uint64_t start = note.description.Load<uint64_t>(offset).value_or(0);
    const uint64_t length = note.description.Load<uint64_t>(offset + sizeof(uint64_t)).value_or(0);
    absl::StatusOr<GuestRange> window = GuestRange::Create(GuestAddress(start), length);
    if (!window.ok()) {
      return ImageError(path, note.description_offset + offset,
                        absl::StrCat("a bad vmwire DMA window: ", window.status().message()));
    }
    notes.dma_windows.push_back(*window);
  }
  return absl::OkStatus();
}

absl::Status ReadOwnNote(const std::string& path, const Note& note, ElfNotes& notes) {
  notes.has_own = true;
  switch (note.type) {
    case kStartModeNote:
      return ReadStartMode(path, note, notes);
    case kDmaWindowsNote:
      return ReadDmaWindows(path, note, notes);
    default:
      return ImageError(path, note.offset,
                        absl::StrFormat("unknown vmwire note type %d: this version knows 1 (start "
                                        "mode) and 2 (DMA windows)",
                                        note.type));
  }
}

absl::Status ReadPvhEntry(const std::string& path, const Note& note, ElfNotes& notes) {
  uint64_t entry = 0;
  if (note.description.size() == sizeof(uint32_t)) {
    entry = note.description.Load<uint32_t>(0).value_or(0);
  } else if (note.description.size() == sizeof(uint64_t)) {
    entry = note.description.Load<uint64_t>(0).value_or(0);
  } else {
    return ImageError(
        path, note.offset,
        absl::StrFormat("the PVH entry note has %d bytes; it has 4 or 8", note.description.size()));
  }
  if (entry > UINT32_MAX) {
    return ImageError(path, note.description_offset,
                      absl::StrFormat("the PVH entry 0x%x is not below 4 GiB", entry));
  }
  if (notes.pvh_entry.has_value()) {
    return ImageError(path, note.offset, "a second PVH entry note");
  }
  notes.pvh_entry = {.address = GuestAddress(entry), .file_offset = note.description_offset};
  return absl::OkStatus();
}

absl::Status ReadNote(const std::string& path, const Note& note, ElfNotes& notes) {
  if (IsOf(kOwner, note)) return ReadOwnNote(path, note, notes);
  if (IsOf(kLinuxOwner, note)) notes.has_linux_note = true;
  if (IsOf(kXenOwner, note) || IsOf(kLinuxOwner, note)) notes.is_linux_kernel = true;
  if (IsOf(kXenOwner, note) && note.type == kPvhEntryNote) return ReadPvhEntry(path, note, notes);
  return absl::OkStatus();
}

// `size` rounded up to `alignment`. Sizes in a note have 32 bits, so nothing wraps.
uint64_t Padded(uint64_t size, uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

}  // namespace

absl::Status ReadElfNotes(const std::string& path, const ByteReader& file,
                          const ElfProgramHeader& header, ElfNotes& notes) {
  const std::optional<std::span<const std::byte>> bytes =
      file.Bytes(header.offset, header.file_size);
  if (!bytes.has_value()) {
    return ImageError(path, header.offset,
                      absl::StrFormat("a note segment of 0x%x bytes reaches past the end of the "
                                      "file (0x%x)",
                                      header.file_size, file.size()));
  }
  if (bytes->size() > kMaxNoteSegment) {
    return ImageError(path, header.at.file_size,
                      absl::StrFormat("program header %d: a note segment of %d bytes; the most is "
                                      "%d",
                                      header.index, bytes->size(), kMaxNoteSegment));
  }
  const ByteReader segment(*bytes);
  // Names and descriptions are padded to 4 bytes, but to 8 in segments that are aligned to 8 (as
  // .note.gnu.property is).
  const uint64_t alignment = header.alignment == 8 ? 8 : 4;
  uint64_t offset = 0;
  while (offset < segment.size()) {
    const uint64_t file_offset = header.offset + offset;
    const std::optional<Elf64_Nhdr> head = segment.Load<Elf64_Nhdr>(offset);
    if (!head.has_value()) return ImageError(path, file_offset, "a note's header is truncated");
    const uint64_t name_offset = offset + sizeof(Elf64_Nhdr);
    const uint64_t description_offset = Padded(name_offset + head->n_namesz, alignment);
    const auto name = segment.Bytes(name_offset, head->n_namesz);
    const auto description = segment.Bytes(description_offset, head->n_descsz);
    if (!name.has_value() || !description.has_value()) {
      return ImageError(path, file_offset, "a note reaches past the end of its segment");
    }
    const Note note{.offset = file_offset,
                    .description_offset = header.offset + description_offset,
                    .owner = *name,
                    .type = head->n_type,
                    .description = ByteReader(*description)};
    VMWIRE_RETURN_IF_ERROR(ReadNote(path, note, notes));
    offset = Padded(description_offset + head->n_descsz, alignment);
  }
  return absl::OkStatus();
}

}  // namespace vmwire
