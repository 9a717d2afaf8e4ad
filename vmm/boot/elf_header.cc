#include "vmm/boot/elf_header.h"

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/elf_loader.h"

namespace vmwire {
namespace {

std::string MachineName(uint16_t machine) {
  switch (machine) {
    case EM_386:
      return "x86 of 32 bits";
    case EM_ARM:
      return "ARM of 32 bits";
    case EM_AARCH64:
      return "AArch64";
    case EM_RISCV:
      return "RISC-V";
    case EM_MIPS:
      return "MIPS";
    case EM_PPC:
      return "PowerPC";
    case EM_PPC64:
      return "PowerPC64";
    case EM_S390:
      return "S/390";
    case EM_SPARCV9:
      return "SPARC V9";
    case EM_BPF:
      return "BPF";
    default:
      return absl::StrCat("machine ", machine);
  }
}

// The first 16 bytes, whose layout does not depend on class and byte order.
absl::Status CheckIdentification(const std::string& path, const ByteReader& file) {
  const std::optional<std::span<const std::byte>> magic = file.Bytes(0, SELFMAG);
  if (!magic.has_value() || !HasElfMagic(*magic)) {
    return ElfError(path, 0, "the ELF magic (7f 45 4c 46) is missing");
  }
  if (!file.Contains(0, EI_NIDENT)) {
    return ElfError(path, file.size(), "the ELF header is truncated");
  }
  const uint8_t elf_class = file.Load<uint8_t>(EI_CLASS).value_or(ELFCLASSNONE);
  if (elf_class == ELFCLASS32) {
    return ElfError(path, EI_CLASS, "an ELF32 image; only ELF64 for x86-64 can be loaded");
  }
  if (elf_class != ELFCLASS64) {
    return ElfError(path, EI_CLASS, absl::StrCat("unknown ELF class ", elf_class));
  }
  const uint8_t byte_order = file.Load<uint8_t>(EI_DATA).value_or(ELFDATANONE);
  if (byte_order != ELFDATA2LSB) {
    return ElfError(path, EI_DATA,
                    byte_order == ELFDATA2MSB ? "a big-endian image; x86-64 is little-endian"
                                              : absl::StrCat("unknown byte order ", byte_order));
  }
  return absl::OkStatus();
}

absl::Status CheckType(const std::string& path, uint16_t type) {
  constexpr uint64_t kOffset = offsetof(Elf64_Ehdr, e_type);
  switch (type) {
    case ET_EXEC:
      return absl::OkStatus();
    case ET_DYN:
      return ElfError(path, kOffset, "a dynamic executable; link with -static -no-pie");
    case ET_REL:
      return ElfError(path, kOffset, "an object file, not an executable; link it");
    case ET_CORE:
      return ElfError(path, kOffset, "a core dump, not an executable");
    default:
      return ElfError(path, kOffset, absl::StrCat("not an executable: ELF type ", type));
  }
}

absl::Status CheckProgramHeaderTable(const std::string& path, const Elf64_Ehdr& header,
                                     const ByteReader& file) {
  if (header.e_phnum == 0) {
    return ElfError(path, offsetof(Elf64_Ehdr, e_phnum),
                    "no program headers: there is nothing to load");
  }
  if (header.e_phnum > kMaxProgramHeaders) {
    return ElfError(
        path, offsetof(Elf64_Ehdr, e_phnum),
        absl::StrFormat("%d program headers; the most is %d", header.e_phnum, kMaxProgramHeaders));
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr)) {
    return ElfError(path, offsetof(Elf64_Ehdr, e_phentsize),
                    absl::StrFormat("program headers of %d bytes; they have %d in ELF64",
                                    header.e_phentsize, sizeof(Elf64_Phdr)));
  }
  const uint64_t size = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (!file.Contains(header.e_phoff, size)) {
    return ElfError(
        path, offsetof(Elf64_Ehdr, e_phoff),
        absl::StrFormat("the program headers (0x%x+0x%x) reach past the end of the file (0x%x); "
                        "is it truncated?",
                        header.e_phoff, size, file.size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ElfError(const std::string& path, uint64_t offset, const std::string& reason) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %s (at file offset 0x%x)", path, reason, offset));
}

absl::StatusOr<Elf64_Ehdr> ReadElfHeader(const std::string& path, const ByteReader& file) {
  VMWIRE_RETURN_IF_ERROR(CheckIdentification(path, file));
  const std::optional<Elf64_Ehdr> header = file.Load<Elf64_Ehdr>(0);
  if (!header.has_value()) {
    return ElfError(path, file.size(),
                    absl::StrFormat("the ELF header is truncated: %d of %d bytes", file.size(),
                                    sizeof(Elf64_Ehdr)));
  }
  if (header->e_machine != EM_X86_64) {
    return ElfError(path, offsetof(Elf64_Ehdr, e_machine),
                    absl::StrCat("an image for another machine: ", MachineName(header->e_machine),
                                 ", not x86-64"));
  }
  if (header->e_version != EV_CURRENT) {
    return ElfError(path, offsetof(Elf64_Ehdr, e_version),
                    absl::StrCat("unknown ELF version ", header->e_version));
  }
  VMWIRE_RETURN_IF_ERROR(CheckType(path, header->e_type));
  VMWIRE_RETURN_IF_ERROR(CheckProgramHeaderTable(path, *header, file));
  return *header;
}

}  // namespace vmwire
