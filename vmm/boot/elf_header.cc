#include "vmm/boot/elf_header.h"

#include <elf.h>

#include <cstddef>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/boot/image_error.h"

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
    return ImageError(path, 0, "the ELF magic (7f 45 4c 46) is missing");
  }
  if (!file.Contains(0, EI_NIDENT)) {
    return ImageError(path, file.size(), "the ELF header is truncated");
  }
  const uint8_t elf_class = file.Load<uint8_t>(EI_CLASS).value_or(ELFCLASSNONE);
  if (elf_class != ELFCLASS32 && elf_class != ELFCLASS64) {
    return ImageError(path, EI_CLASS, absl::StrCat("unknown ELF class ", elf_class));
  }
  const uint8_t byte_order = file.Load<uint8_t>(EI_DATA).value_or(ELFDATANONE);
  if (byte_order != ELFDATA2LSB) {
    return ImageError(path, EI_DATA,
                      byte_order == ELFDATA2MSB ? "a big-endian image; x86-64 is little-endian"
                                                : absl::StrCat("unknown byte order ", byte_order));
  }
  return absl::OkStatus();
}

bool IsKnownMachine(bool is_64, uint16_t machine) {
  return machine == EM_X86_64 || (machine == EM_386 && !is_64);
}

absl::Status CheckType(const std::string& path, uint16_t type) {
  constexpr uint64_t kOffset = offsetof(Elf64_Ehdr, e_type);  // The same in ELF32.
  switch (type) {
    case ET_EXEC:
      return absl::OkStatus();
    case ET_DYN:
      return ImageError(path, kOffset, "a dynamic executable; link with -static -no-pie");
    case ET_REL:
      return ImageError(path, kOffset, "an object file, not an executable; link it");
    case ET_CORE:
      return ImageError(path, kOffset, "a core dump, not an executable");
    default:
      return ImageError(path, kOffset, absl::StrCat("not an executable: ELF type ", type));
  }
}

template <typename Header, typename ProgramHeader>
absl::Status CheckProgramHeaderTable(const std::string& path, const Header& header,
                                     const ByteReader& file) {
  if (header.e_phnum == 0) {
    return ImageError(path, offsetof(Header, e_phnum),
                      "no program headers: there is nothing to load");
  }
  if (header.e_phnum > kMaxProgramHeaders) {
    return ImageError(
        path, offsetof(Header, e_phnum),
        absl::StrFormat("%d program headers; the most is %d", header.e_phnum, kMaxProgramHeaders));
  }
  if (header.e_phentsize != sizeof(ProgramHeader)) {
    return ImageError(path, offsetof(Header, e_phentsize),
                      absl::StrFormat("program headers of %d bytes; they have %d in %s",
                                      header.e_phentsize, sizeof(ProgramHeader),
                                      sizeof(Header) == sizeof(Elf64_Ehdr) ? "ELF64" : "ELF32"));
  }
  const uint64_t size = uint64_t{header.e_phnum} * sizeof(ProgramHeader);
  if (!file.Contains(header.e_phoff, size)) {
    return ImageError(
        path, offsetof(Header, e_phoff),
        absl::StrFormat("the program headers (0x%x+0x%x) reach past the end of the file (0x%x); "
                        "is it truncated?",
                        uint64_t{header.e_phoff}, size, file.size()));
  }
  return absl::OkStatus();
}

template <typename Header, typename ProgramHeader>
absl::StatusOr<ElfHeader> ReadHeader(const std::string& path, const ByteReader& file) {
  constexpr bool kIs64 = sizeof(Header) == sizeof(Elf64_Ehdr);
  const std::optional<Header> header = file.Load<Header>(0);
  if (!header.has_value()) {
    return ImageError(path, file.size(),
                      absl::StrFormat("the ELF header is truncated: %d of %d bytes", file.size(),
                                      sizeof(Header)));
  }
  if (!IsKnownMachine(kIs64, header->e_machine)) {
    return ImageError(path, offsetof(Header, e_machine),
                      absl::StrCat("an image for another machine: ", MachineName(header->e_machine),
                                   ", not x86-64"));
  }
  if (header->e_version != EV_CURRENT) {
    return ImageError(path, offsetof(Header, e_version),
                      absl::StrCat("unknown ELF version ", header->e_version));
  }
  VMWIRE_RETURN_IF_ERROR(CheckType(path, header->e_type));
  VMWIRE_RETURN_IF_ERROR((CheckProgramHeaderTable<Header, ProgramHeader>(path, *header, file)));
  return ElfHeader{.is_64 = kIs64,
                   .machine = header->e_machine,
                   .entry = header->e_entry,
                   .entry_offset = offsetof(Header, e_entry),
                   .table_offset = header->e_phoff,
                   .count = header->e_phnum};
}

template <typename ProgramHeader>
absl::StatusOr<ElfProgramHeader> ReadProgramHeader(const std::string& path, const ElfHeader& header,
                                                   uint32_t index, const ByteReader& file) {
  const uint64_t base = header.table_offset + index * sizeof(ProgramHeader);
  const std::optional<ProgramHeader> fields = file.Load<ProgramHeader>(base);
  if (!fields.has_value()) return ImageError(path, base, "a program header is truncated");
  return ElfProgramHeader{.index = index,
                          .type = fields->p_type,
                          .flags = fields->p_flags,
                          .offset = fields->p_offset,
                          .virtual_address = fields->p_vaddr,
                          .physical_address = fields->p_paddr,
                          .file_size = fields->p_filesz,
                          .memory_size = fields->p_memsz,
                          .alignment = fields->p_align,
                          .at = {.type = base + offsetof(ProgramHeader, p_type),
                                 .offset = base + offsetof(ProgramHeader, p_offset),
                                 .physical_address = base + offsetof(ProgramHeader, p_paddr),
                                 .file_size = base + offsetof(ProgramHeader, p_filesz),
                                 .memory_size = base + offsetof(ProgramHeader, p_memsz)}};
}

}  // namespace

bool HasElfMagic(std::span<const std::byte> file) {
  return file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
}

absl::StatusOr<ElfHeader> ReadElfHeader(const std::string& path, const ByteReader& file) {
  VMWIRE_RETURN_IF_ERROR(CheckIdentification(path, file));
  if (file.Load<uint8_t>(EI_CLASS) == ELFCLASS64) {
    return ReadHeader<Elf64_Ehdr, Elf64_Phdr>(path, file);
  }
  return ReadHeader<Elf32_Ehdr, Elf32_Phdr>(path, file);
}

absl::StatusOr<ElfProgramHeader> ReadElfProgramHeader(const std::string& path,
                                                      const ElfHeader& header, uint32_t index,
                                                      const ByteReader& file) {
  if (header.is_64) return ReadProgramHeader<Elf64_Phdr>(path, header, index, file);
  return ReadProgramHeader<Elf32_Phdr>(path, header, index, file);
}

}  // namespace vmwire
