// elf_loader.h for ELF64; elf32_loader_test.cc has ELF32.
#include "vmm/boot/elf_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/elf_builder.h"
#include "tests/vmm/boot/elf_loading.h"
#include "vmm/boot/guest_image.h"

namespace vmwire {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> Truncated(std::vector<std::byte> bytes, size_t size) {
  bytes.resize(size);
  return bytes;
}

TEST(ElfLoader, LoadsSegmentsInTheOrderOfTheirAddresses) {
  ElfBuilder elf;
  elf.Add(PT_LOAD, 0x203000, "data", PF_R | PF_W).p_memsz = 0x5000;
  elf.AddCode();

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  EXPECT_EQ(image.format, ImageFormat::kElf64);
  EXPECT_EQ(image.entry, GuestAddress(0x100000));
  ASSERT_EQ(image.segments.size(), 2u);
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x100000));
  EXPECT_EQ(image.segments[0].protection, Protection::kRead | Protection::kExecute);
  EXPECT_EQ(image.segments[1].address, GuestAddress(0x203000));
  EXPECT_EQ(image.segments[1].memory_size, 0x5000u);
  EXPECT_EQ(image.segments[1].protection, Protection::kReadWrite);
  ASSERT_EQ(image.BytesOf(image.segments[1]).size(), 4u);
  EXPECT_EQ(image.BytesOf(image.segments[1])[0], std::byte{'d'});
}

TEST(ElfLoader, LoadsAtThePhysicalAddress) {
  ElfBuilder elf;
  elf.AddCode().p_vaddr = 0xffffffff80000000;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  EXPECT_EQ(image.start_address(), GuestAddress(0x100000));
}

TEST(ElfLoader, PassesOverAnEmptySegment) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0x100010, "", PF_R);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  EXPECT_EQ(image.segments.size(), 1u);
}

TEST(ElfLoader, PassesOverAnEmptySegmentWhereverItLies) {
  for (const uint64_t address : {uint64_t{0}, UINT64_MAX}) {
    ElfBuilder elf;
    elf.AddCode();
    elf.Add(PT_LOAD, address, "", PF_R);

    VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

    EXPECT_EQ(image.segments.size(), 1u);
  }
}

TEST(ElfLoader, AllowsSegmentsThatShareAPage) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0x100040, "next to the code", PF_R);

  EXPECT_THAT(LoadElf(elf.Build()), IsOk());
}

TEST(ElfLoader, StartsInRing0WithoutANote) {
  ElfBuilder elf;
  elf.AddCode();

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  EXPECT_EQ(image.start, StartMode::kLong64Ring0);
}

TEST(ElfLoader, OptionGoesBeforeTheNote) {
  ElfBuilder elf;
  elf.AddCode();
  elf.AddNote("vmwire", 1, ElfBuilder::Bytes(uint32_t{1}));

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              LoadElf(elf.Build(), {.start = StartMode::kLong64Ring0}));

  EXPECT_EQ(image.start, StartMode::kLong64Ring0);
}

TEST(ElfLoader, RefusesAStartOutsideOfLongMode) {
  ElfBuilder elf;
  elf.AddCode();

  EXPECT_THAT(
      LoadElf(elf.Build(), {.start = StartMode::kReal16}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("long64-ring0 or long64-ring3, not in real16, which --start asks for")));
}

TEST(ElfLoader, RefusesEveryTruncationOfTheHeaders) {
  ElfBuilder elf;
  elf.AddCode();
  const std::vector<std::byte> bytes = elf.Build();

  for (size_t size = SELFMAG; size < sizeof(Elf64_Ehdr); ++size) {
    EXPECT_THAT(LoadElf(Truncated(bytes, size)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("truncated")))
        << size;
  }
  for (size_t size = sizeof(Elf64_Ehdr); size < bytes.size(); ++size) {
    EXPECT_THAT(LoadElf(Truncated(bytes, size)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("past the end of the file")))
        << size;
  }
}

TEST(ElfLoader, RefusesAMissingMagicWhenElfWasAskedFor) {
  EXPECT_THAT(LoadElf(std::vector<std::byte>(100), {.format = ImageFormatChoice::kElf}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the ELF magic")));
}

TEST(ElfLoader, RefusesElf64OfI386) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_machine = EM_386;
  ExpectElfRefused(elf.Build(), "x86 of 32 bits, not x86-64", offsetof(Elf64_Ehdr, e_machine));
}

TEST(ElfLoader, RefusesAnUnknownClass) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_ident[EI_CLASS] = 9;
  ExpectElfRefused(elf.Build(), "unknown ELF class 9", EI_CLASS);
}

TEST(ElfLoader, RefusesBigEndian) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_ident[EI_DATA] = ELFDATA2MSB;
  ExpectElfRefused(elf.Build(), "a big-endian image", EI_DATA);
}

TEST(ElfLoader, RefusesAnotherMachineByName) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_machine = EM_AARCH64;
  ExpectElfRefused(elf.Build(), "AArch64, not x86-64", offsetof(Elf64_Ehdr, e_machine));
}

TEST(ElfLoader, RefusesAnUnknownMachineByNumber) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_machine = 4242;
  ExpectElfRefused(elf.Build(), "machine 4242", offsetof(Elf64_Ehdr, e_machine));
}

TEST(ElfLoader, RefusesAnUnknownVersion) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_version = 2;
  ExpectElfRefused(elf.Build(), "unknown ELF version 2", offsetof(Elf64_Ehdr, e_version));
}

TEST(ElfLoader, RefusesADynamicExecutable) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_type = ET_DYN;
  ExpectElfRefused(elf.Build(), "a dynamic executable; link with -static -no-pie",
                   offsetof(Elf64_Ehdr, e_type));
}

TEST(ElfLoader, RefusesAnObjectFile) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_type = ET_REL;
  ExpectElfRefused(elf.Build(), "an object file", offsetof(Elf64_Ehdr, e_type));
}

TEST(ElfLoader, RefusesAnInterpreter) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_INTERP, 0, "/lib64/ld-linux-x86-64.so.2");
  ExpectElfRefused(elf.Build(), "program header 1: a dynamic executable; link with -static -no-pie",
                   ElfBuilder::ProgramOffset(1));
}

TEST(ElfLoader, RefusesADynamicSegment) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_DYNAMIC, 0x200000, "tags");
  ExpectElfRefused(elf.Build(), "program header 1: a dynamic executable; link with -static -no-pie",
                   ElfBuilder::ProgramOffset(1));
}

TEST(ElfLoader, RefusesAnImageWithoutProgramHeaders) {
  ElfBuilder elf;
  elf.AddCode();
  elf.set_program_count = false;
  ExpectElfRefused(elf.Build(), "no program headers", offsetof(Elf64_Ehdr, e_phnum));
}

TEST(ElfLoader, RefusesTooManyProgramHeaders) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_phnum = 0xffff;
  ExpectElfRefused(elf.Build(), "65535 program headers; the most is 128",
                   offsetof(Elf64_Ehdr, e_phnum));
}

TEST(ElfLoader, RefusesProgramHeadersOfAnotherSize) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_phentsize = 32;
  ExpectElfRefused(elf.Build(), "program headers of 32 bytes", offsetof(Elf64_Ehdr, e_phentsize));
}

TEST(ElfLoader, RefusesATableOfProgramHeadersPastTheFile) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_phnum = 100;
  ExpectElfRefused(elf.Build(), "reach past the end of the file", offsetof(Elf64_Ehdr, e_phoff));
}

TEST(ElfLoader, RefusesATableOfProgramHeadersThatWraps) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_phoff = UINT64_MAX - 8;
  ExpectElfRefused(elf.Build(), "reach past the end of the file", offsetof(Elf64_Ehdr, e_phoff));
}

TEST(ElfLoader, RefusesAnImageWithNothingToLoad) {
  ElfBuilder elf;
  elf.Add(PT_NOTE, 0, "");
  ExpectElfRefused(elf.Build(), "no PT_LOAD segment", sizeof(Elf64_Ehdr));
}

TEST(ElfLoader, RefusesASegmentPastTheFile) {
  ElfBuilder elf;
  Elf64_Phdr& code = elf.AddCode();
  code.p_filesz = code.p_memsz = 65;
  ExpectElfRefused(elf.Build(), "its bytes (0x78+0x41) reach past the end of the file (0xb8)",
                   ElfBuilder::ProgramOffset(0) + offsetof(Elf64_Phdr, p_offset));
}

TEST(ElfLoader, RefusesASegmentWhoseFileRangeWraps) {
  ElfBuilder elf;
  Elf64_Phdr& code = elf.AddCode();
  code.p_offset = UINT64_MAX - 7;
  ExpectElfRefused(elf.Build(), "reach past the end of the file",
                   ElfBuilder::ProgramOffset(0) + offsetof(Elf64_Phdr, p_offset));
}

TEST(ElfLoader, RefusesASegmentSmallerInMemoryThanInTheFile) {
  ElfBuilder elf;
  elf.AddCode().p_memsz = 63;
  ExpectElfRefused(elf.Build(), "smaller in memory (0x3f bytes) than in the file (0x40)",
                   ElfBuilder::ProgramOffset(0) + offsetof(Elf64_Phdr, p_memsz));
}

TEST(ElfLoader, RefusesOverlappingSegments) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0x10003f, "x", PF_R);
  ExpectElfRefused(
      elf.Build(),
      "program header 1: its memory [0x10003f, 0x100040) overlaps that of program header "
      "0 [0x100000, 0x100040)",
      ElfBuilder::ProgramOffset(1) + offsetof(Elf64_Phdr, p_paddr));
}

TEST(ElfLoader, RefusesASegmentWhoseMemoryWraps) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, UINT64_MAX - 0xfff, "x", PF_R).p_memsz = 0x2000;
  ExpectElfRefused(elf.Build(), "ends beyond 64 bits",
                   ElfBuilder::ProgramOffset(1) + offsetof(Elf64_Phdr, p_paddr));
}

TEST(ElfLoader, RefusesASegmentBelowOneMiB) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0xfffff, "x", PF_R);
  ExpectElfRefused(elf.Build(), "its address 0xfffff is below 1 MiB",
                   ElfBuilder::ProgramOffset(1) + offsetof(Elf64_Phdr, p_paddr));
}

TEST(ElfLoader, RefusesAnEntryInNoSegment) {
  ElfBuilder elf;
  elf.AddCode();
  elf.header.e_entry = 0x100040;
  ExpectElfRefused(elf.Build(), "the entry 0x100040 lies in no executable segment",
                   offsetof(Elf64_Ehdr, e_entry));
}

TEST(ElfLoader, RefusesAnEntryInASegmentThatIsNotExecutable) {
  ElfBuilder elf;
  elf.AddCode().p_flags = PF_R | PF_W;
  ExpectElfRefused(elf.Build(), "lies in no executable segment", offsetof(Elf64_Ehdr, e_entry));
}

}  // namespace
}  // namespace vmwire
