#include "tests/fuzz/synthetic_images.h"

#include <elf.h>

#include <cstdint>
#include <cstring>

#include "tests/vmm/boot/bzimage_builder.h"
#include "tests/vmm/boot/elf_builder.h"

namespace vmwire {
namespace {

constexpr uint32_t kLoadAddress = 0x100000;

std::string Word(uint32_t value) { return ElfBuilder::Bytes(value); }
std::string Half(uint16_t value) { return ElfBuilder::Bytes(value); }
std::string Code(size_t size) { return std::string(size, '\x90'); }

std::vector<std::byte> BytesOf(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string Multiboot1Header(uint32_t flags) {
  constexpr uint32_t kMagic = 0x1badb002;
  return Word(kMagic) + Word(flags) + Word(0u - kMagic - flags);
}

// Tags end with one of type 0 that is 8 bytes long; each is padded to 8.
std::string Multiboot2Header(const std::string& tags) {
  constexpr uint32_t kMagic = 0xe85250d6;
  const std::string body = tags + Half(0) + Half(0) + Word(8);
  const uint32_t length = static_cast<uint32_t>(16 + body.size());
  return Word(kMagic) + Word(0) + Word(length) + Word(0u - kMagic - length) + body;
}

std::string Multiboot2Tag(uint16_t type, uint16_t flags, const std::string& contents) {
  std::string tag =
      Half(type) + Half(flags) + Word(static_cast<uint32_t>(8 + contents.size())) + contents;
  tag.resize((tag.size() + 7) / 8 * 8);
  return tag;
}

// The address tag or fields: the header's address, load, load end and bss end.
std::string Addresses(uint32_t file_size) {
  return Word(kLoadAddress) + Word(kLoadAddress) + Word(kLoadAddress + file_size) +
         Word(kLoadAddress + file_size + 0x2000);
}

std::vector<std::byte> OwnElf() {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0x200000, "data", PF_R | PF_W).p_memsz = 0x3000;
  elf.AddNote("vmwire", 1, Word(1));
  elf.AddNote("vmwire", 2,
              ElfBuilder::Bytes(uint64_t{0x200000}) + ElfBuilder::Bytes(uint64_t{0x2000}));
  return elf.Build();
}

std::vector<std::byte> OwnElf32() {
  Elf32Builder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0x200000, "data", PF_R | PF_W).p_memsz = 0x3000;
  elf.AddNote("vmwire", 2,
              ElfBuilder::Bytes(uint64_t{0x200000}) + ElfBuilder::Bytes(uint64_t{0x2000}));
  return elf.Build();
}

std::vector<std::byte> BootSector() {
  return BytesOf(Code(510) + std::string("\x55\xaa", 2) + Code(100));
}

std::vector<std::byte> Multiboot1WithAddresses() {
  constexpr uint32_t kEntry = kLoadAddress + 32;
  return BytesOf(Multiboot1Header(0x00010003) + Addresses(32 + 64) + Word(kEntry) + Code(64));
}

std::vector<std::byte> Multiboot1Elf64() {
  ElfBuilder elf;
  elf.header.e_entry = kLoadAddress + 12;
  elf.Add(PT_LOAD, kLoadAddress, Multiboot1Header(0x1) + Code(64));
  return elf.Build();
}

std::vector<std::byte> Multiboot1Elf32() {
  Elf32Builder elf;
  elf.header.e_entry = kLoadAddress + 12;
  elf.Add(PT_LOAD, kLoadAddress, Multiboot1Header(0x2) + Code(64)).p_memsz = 0x1100;
  return elf.Build();
}

std::vector<std::byte> Multiboot2WithAddresses() {
  constexpr uint32_t kHeaderSize = 16 + 16 + 24 + 16 + 8 + 8;
  constexpr uint32_t kEntry = kLoadAddress + kHeaderSize;
  const std::string header = Multiboot2Header(
      Multiboot2Tag(1, 1, Word(1) + Word(6)) + Multiboot2Tag(2, 0, Addresses(kHeaderSize + 64)) +
      Multiboot2Tag(3, 0, Word(kEntry)) + Multiboot2Tag(6, 0, ""));
  return BytesOf(header + Code(64));
}

std::vector<std::byte> Multiboot2Elf64() {
  const std::string header = Multiboot2Header(
      Multiboot2Tag(4, 1, Word(2)) + Multiboot2Tag(5, 1, Word(0) + Word(0) + Word(0)) +
      Multiboot2Tag(10, 1, Word(kLoadAddress) + Word(0xf00000) + Word(0x1000) + Word(1)));
  ElfBuilder elf;
  // The header is aligned to 8, as the two headers before it are.
  elf.header.e_entry = kLoadAddress + static_cast<uint32_t>(header.size());
  elf.Add(PT_LOAD, kLoadAddress, header + Code(64));
  return elf.Build();
}

std::vector<std::byte> PvhElf64() {
  ElfBuilder elf;
  elf.AddCode();
  elf.AddNote("Xen", 18, Word(kLoadAddress + 16));
  return elf.Build();
}

// As a Linux kernel is linked: at virtual addresses, to be loaded at physical ones.
std::vector<std::byte> Vmlinux() {
  ElfBuilder elf;
  elf.header.e_entry = 0x1000000;
  elf.Add(PT_LOAD, 0x1000000, Code(64)).p_vaddr = 0xffffffff81000000;
  elf.AddNote("Linux", 0x100, Word(0));
  return elf.Build();
}

std::vector<std::byte> OldBzImage() {
  return BzImageBuilder(0x400)
      .Set<uint16_t>(0x206, 0x0206)
      .Set<uint8_t>(0x201, 0x3a)
      .Set<uint8_t>(0x234, 0)
      .Build();
}

}  // namespace

std::vector<SyntheticImage> MakeSyntheticImages() {
  return {
      {"elf", ImageFormatChoice::kElf, OwnElf()},
      {"elf32", ImageFormatChoice::kElf, OwnElf32()},
      {"boot_sector", ImageFormatChoice::kFlat, BootSector()},
      {"multiboot_addresses", ImageFormatChoice::kMultiboot, Multiboot1WithAddresses()},
      {"multiboot_elf64", ImageFormatChoice::kMultiboot, Multiboot1Elf64()},
      {"multiboot_elf32", ImageFormatChoice::kMultiboot, Multiboot1Elf32()},
      {"multiboot2_addresses", ImageFormatChoice::kMultiboot2, Multiboot2WithAddresses()},
      {"multiboot2_elf64", ImageFormatChoice::kMultiboot2, Multiboot2Elf64()},
      {"pvh", ImageFormatChoice::kPvh, PvhElf64()},
      {"vmlinux", ImageFormatChoice::kLinux, Vmlinux()},
      {"bzimage", ImageFormatChoice::kLinux, BzImageBuilder().Build()},
      {"bzimage_old", ImageFormatChoice::kLinux, OldBzImage()},
  };
}

}  // namespace vmwire
