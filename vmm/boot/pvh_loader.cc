#include "vmm/boot/pvh_loader.h"

#include <elf.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/byte_reader.h"
#include "vmm/boot/elf_file.h"
#include "vmm/boot/image_error.h"

namespace vmwire {
namespace {

// What the setup header of a kernel for x86 says in INITRD_MAX and COMMAND_LINE_SIZE - 1, and the
// vmlinux inside does not (Linux, arch/x86/boot/header.S).
constexpr uint32_t kInitrdAddressMax = 0x7fffffff;
constexpr uint32_t kCommandLineSize = 2047;
// PVH has no limit.
constexpr uint32_t kAnyCommandLineSize = UINT32_MAX;

absl::Status CheckStart(const GuestImage& image, std::optional<StartMode> asked, StartMode start) {
  if (asked.value_or(start) == start) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(image.path, ": a ", ToString(image.format),
                                                 " image starts in ", ToString(start), ", not in ",
                                                 ToString(*asked)));
}

}  // namespace

absl::Status LoadPvh(std::optional<StartMode> start, GuestImage& image) {
  VMWIRE_ASSIGN_OR_RETURN(const ElfFile elf, ReadElfFile(image.path, ByteReader(image.file)));
  if (!elf.notes.pvh_entry.has_value()) {
    return ImageError(image.path, elf.header.table_offset,
                      "no PVH entry: looked in all note segments for a note of owner \"Xen\" and "
                      "type 18");
  }
  image.format = ImageFormat::kPvh;
  image.start = StartMode::kProtected32;
  VMWIRE_RETURN_IF_ERROR(CheckStart(image, start, image.start));
  image.entry = elf.notes.pvh_entry->address;
  image.segments = elf.ImageSegments();
  // Linux drops what is longer without a word, however it was entered.
  image.linux_setup.command_line_size =
      elf.notes.has_linux_note ? kCommandLineSize : kAnyCommandLineSize;
  image.findings = {absl::StrFormat("PVH entry note (owner \"Xen\", type 18) at file offset 0x%x",
                                    elf.notes.pvh_entry->file_offset)};
  if (IsExecutable(image.segments, image.entry)) return absl::OkStatus();
  return ImageError(image.path, elf.notes.pvh_entry->file_offset,
                    absl::StrFormat("the PVH entry 0x%x lies in no executable segment (of the "
                                    "physical addresses, p_paddr)",
                                    image.entry.value()));
}

absl::Status LoadVmlinux(std::optional<StartMode> start, GuestImage& image) {
  VMWIRE_ASSIGN_OR_RETURN(const ElfFile elf, ReadElfFile(image.path, ByteReader(image.file)));
  if (!elf.header.is_64) {
    return ImageError(image.path, EI_CLASS,
                      "an ELF32 image; a vmlinux without PVH entry note must be ELF64");
  }
  image.format = ImageFormat::kVmlinux;
  image.start = StartMode::kLong64Ring0;
  VMWIRE_RETURN_IF_ERROR(CheckStart(image, start, image.start));
  VMWIRE_ASSIGN_OR_RETURN(image.entry, KernelEntry(image.path, elf));
  image.segments = elf.ImageSegments();
  image.linux_setup.initrd_address_max = kInitrdAddressMax;
  image.linux_setup.command_line_size = kCommandLineSize;
  image.findings = {elf.notes.is_linux_kernel
                        ? "ELF64 with a Linux kernel's notes, entered by the 64-bit boot protocol"
                        : "ELF64, entered by Linux' 64-bit boot protocol as --format asks for"};
  return absl::OkStatus();
}

}  // namespace vmwire
