#include "vmm/boot/elf_loader.h"

#include <elf.h>

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

absl::Status CheckClass(const std::string& path, const ElfFile& elf) {
  if (!elf.header.is_64) {
    return ImageError(path, EI_CLASS,
                      "an ELF32 image with neither a multiboot header nor a PVH entry note to say "
                      "how it is entered; others must be ELF64 for x86-64");
  }
  if (elf.dynamic.has_value()) {
    return ImageError(path, elf.dynamic->at.type,
                      absl::StrCat("program header ", elf.dynamic->index,
                                   ": a dynamic executable; link with -static -no-pie"));
  }
  return absl::OkStatus();
}

absl::StatusOr<StartMode> ChooseStart(const std::string& path, std::optional<StartMode> asked,
                                      std::optional<StartMode> noted) {
  if (!asked.has_value()) return noted.value_or(StartMode::kLong64Ring0);
  if (IsLongMode(*asked)) return *asked;
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": an ELF64 image starts in long64-ring0 or long64-ring3, not in ", ToString(*asked)));
}

}  // namespace

absl::Status LoadElf(std::optional<StartMode> start, GuestImage& image) {
  VMWIRE_ASSIGN_OR_RETURN(ElfFile elf, ReadElfFile(image.path, ByteReader(image.file)));
  VMWIRE_RETURN_IF_ERROR(CheckClass(image.path, elf));
  VMWIRE_ASSIGN_OR_RETURN(image.start, ChooseStart(image.path, start, elf.notes.start));
  image.format = ImageFormat::kElf64;
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
