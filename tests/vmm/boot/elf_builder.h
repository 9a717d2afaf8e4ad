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

class ElfBuilder {
 public:
  ElfBuilder() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_entry = 0x100000;
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
  }

  // Adds a program header whose p_offset Build sets, and its contents. Returns it, to be changed
  // before the next Add.
  Elf64_Phdr& Add(uint32_t type, uint64_t address, const std::string& contents,
                  uint32_t flags = PF_R | PF_X) {
    Elf64_Phdr program = {};
    program.p_type = type;
    program.p_flags = flags;
    program.p_vaddr = address;
    program.p_paddr = address;
    program.p_filesz = contents.size();
    program.p_memsz = contents.size();
    program.p_align = 4;
    programs.push_back(program);
    contents_.push_back(contents);
    return programs.back();
  }

  // A code segment at 1 MiB, where the header's entry is.
  Elf64_Phdr& AddCode() { return Add(PT_LOAD, 0x100000, std::string(64, '\x90')); }

  // A note segment with one note.
  Elf64_Phdr& AddNote(const std::string& owner, uint32_t type, const std::string& description) {
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
    uint64_t offset = sizeof(Elf64_Ehdr) + programs.size() * sizeof(Elf64_Phdr);
    std::string tail;
    for (size_t i = 0; i < programs.size(); ++i) {
      if (programs[i].p_offset == 0) programs[i].p_offset = offset;
      offset += contents_[i].size();
      tail += contents_[i];
    }
    std::string text = Bytes(header);
    for (const Elf64_Phdr& program : programs) text += Bytes(program);
    text += tail;
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
  }

  // The offset in the file of program header `index`.
  static uint64_t ProgramOffset(uint64_t index) {
    return sizeof(Elf64_Ehdr) + index * sizeof(Elf64_Phdr);
  }

  Elf64_Ehdr header = {};
  std::vector<Elf64_Phdr> programs;
  bool set_program_count = true;

 private:
  std::vector<std::string> contents_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_VMM_BOOT_ELF_BUILDER_H_
