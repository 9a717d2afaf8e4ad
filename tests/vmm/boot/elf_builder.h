// Builds the bytes of an ELF image for tests: a good one unless the test changes a field.
//
//   header | program headers | contents of the segments, in the order in which they were added
//
// Thread safety: values.
#ifndef VMWIRE_TESTS_VMM_BOOT_ELF_BUILDER_H_
#define VMWIRE_TESTS_VMM_BOOT_ELF_BUILDER_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace vmwire {

template <typename Header, typename ProgramHeader>
class BasicElfBuilder {
 public:
  static constexpr bool kIs64 = sizeof(Header) == sizeof(Elf64_Ehdr);

  BasicElfBuilder() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = kIs64 ? ELFCLASS64 : ELFCLASS32;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = kIs64 ? EM_X86_64 : EM_386;
    header.e_version = EV_CURRENT;
    header.e_entry = 0x100000;
    header.e_phoff = sizeof(Header);
    header.e_ehsize = sizeof(Header);
    header.e_phentsize = sizeof(ProgramHeader);
  }

  // Adds a program header whose p_offset Build sets, and its contents. Returns it, to be changed
  // before the next Add.
  ProgramHeader& Add(uint32_t type, uint64_t address, const std::string& contents,
                     uint32_t flags = PF_R | PF_X) {
    ProgramHeader program = {};
    program.p_type = type;
    program.p_flags = flags;
    program.p_vaddr = static_cast<decltype(program.p_vaddr)>(address);
    program.p_paddr = program.p_vaddr;
    program.p_filesz = static_cast<decltype(program.p_filesz)>(contents.size());
    program.p_memsz = program.p_filesz;
    program.p_align = 4;
    programs.push_back(program);
    contents_.push_back(contents);
    return programs.back();
  }

  // A segment of code at 1 MiB that begins with `contents`.
  ProgramHeader& AddCode(const std::string& contents) {
    return Add(PT_LOAD, 0x100000, contents + std::string(64, '\x90'));
  }

  // A code segment at 1 MiB, where the header's entry is.
  ProgramHeader& AddCode() { return Add(PT_LOAD, 0x100000, std::string(64, '\x90')); }

  // A note segment with one note.
  ProgramHeader& AddNote(const std::string& owner, uint32_t type, const std::string& description) {
    return Add(PT_NOTE, 0, Note(owner, type, description), PF_R);
  }

  // The bytes of a note: header, owner with its terminating zero, description, padded to 4.
  static std::string Note(const std::string& owner, uint32_t type, const std::string& description) {
    Elf64_Nhdr head = {.n_namesz = static_cast<uint32_t>(owner.size() + 1),
                       .n_descsz = static_cast<uint32_t>(description.size()),
                       .n_type = type};
    std::string bytes(reinterpret_cast<const char*>(&head), sizeof(head));
    bytes += owner + '\0';
    bytes.resize((bytes.size() + 3) / 4 * 4);
    bytes += description;
    bytes.resize((bytes.size() + 3) / 4 * 4);
    return bytes;
  }

  // `value` as the image holds it.
  template <typename T>
  static std::string Bytes(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  // Lays the image out; sets e_phnum unless the test did, and each p_offset that is 0.
  std::vector<std::byte> Build() {
    if (header.e_phnum == 0 && set_program_count) {
      header.e_phnum = static_cast<uint16_t>(programs.size());
    }
    uint64_t offset = ProgramOffset(programs.size());
    std::string tail;
    for (size_t i = 0; i < programs.size(); ++i) {
      if (programs[i].p_offset == 0) {
        programs[i].p_offset = static_cast<decltype(ProgramHeader::p_offset)>(offset);
      }
      offset += contents_[i].size();
      tail += contents_[i];
    }
    std::string text = Bytes(header);
    for (const ProgramHeader& program : programs) text += Bytes(program);
    text += tail;
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
  }

  // The offset in the file of program header `index`.
  static uint64_t ProgramOffset(uint64_t index) {
    return sizeof(Header) + index * sizeof(ProgramHeader);
  }

  Header header = {};
  std::vector<ProgramHeader> programs;
  bool set_program_count = true;

 private:
  std::vector<std::string> contents_;
};

using ElfBuilder = BasicElfBuilder<Elf64_Ehdr, Elf64_Phdr>;
using Elf32Builder = BasicElfBuilder<Elf32_Ehdr, Elf32_Phdr>;

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_BOOT_ELF_BUILDER_H_
