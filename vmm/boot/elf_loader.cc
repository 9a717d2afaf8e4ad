#include "vmm/boot/elf_loader.h"

#include <elf.h>

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/elf_file.h"
#include "vmm/boot/image_error.h"

namespace vmwire {
namespace {

absl::Status CheckStatic(const std::string& path, const ElfFile& elf) {
  if (!elf.header.is_64 && elf.header.machine != EM_386) {
    return ImageError(path, offsetof(Elf32_Ehdr, e_machine),
                      "an ELF32 image of 64-bit code (x32); build it as ELF64, or for i386 (-m32)");
  }
  if (elf.dynamic.has_value()) {
    return ImageError(path, elf.dynamic->at.type,
                      absl::StrCat("program header ", elf.dynamic->index,
                                   ": a dynamic executable; link with -static -no-pie"));
  }
  return absl::OkStatus();
}

absl::StatusOr<StartMode> ChooseStart64(const std::string& path, StartMode start) {
  if (IsLongMode(start)) return start;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": an ELF64 image starts in long64-ring0 or long64-ring3, not in ",
                   ToString(start), ", which --start asks for"));
}

// Of what `asked_by` says.
absl::StatusOr<StartMode> ChooseStart32(const std::string& path, StartMode start,
                                        const std::string& asked_by) {
  if (start == StartMode::kProtected32) return start;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": an ELF32 image starts in protected32, not in ", ToString(start),
                   ", which ", asked_by, " asks for; say `--start protected32`"));
}

absl::StatusOr<StartMode> ChooseStart(const std::string& path, const ElfFile& elf,
                                      std::optional<StartMode> asked) {
  const std::optional<StartMode> start = asked.has_value() ? asked : elf.notes.start;
  if (elf.header.is_64) return ChooseStart64(path, start.value_or(StartMode::kLong64Ring0));
  return ChooseStart32(path, start.value_or(StartMode::kProtected32),
                       asked.has_value() ? "--start" : "its vmwire note");
}

}  // namespace

absl::Status LoadElf(std::optional<StartMode> start, GuestImage& image) {
  VMWIRE_ASSIGN_OR_RETURN(ElfFile elf, ReadElfFile(image.path, ByteReader(image.file)));
  VMWIRE_RETURN_IF_ERROR(CheckStatic(image.path, elf));
  VMWIRE_ASSIGN_OR_RETURN(image.start, ChooseStart(image.path, elf, start));
  image.format = elf.header.is_64 ? ImageFormat::kElf64 : ImageFormat::kElf32;
  image.entry = GuestAddress(elf.header.entry);
  image.dma_windows = std::move(elf.notes.dma_windows);
  image.segments = elf.ImageSegments();
  image.findings = {elf.notes.has_own ? "ELF magic and a vmwire note"
                                      : "ELF magic, and no header or note of another protocol"};
  if (IsExecutable(image.segments, image.entry)) return absl::OkStatus();
  return ImageError(image.path, elf.header.entry_offset,
                    absl::StrFormat("the entry 0x%x lies in no executable segment (of the physical "
                                    "addresses, p_paddr)",
                                    image.entry.value()));
}

}  // namespace vmwire
