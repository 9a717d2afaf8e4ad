// elf_loader.h for ELF32; elf_loader_test.cc has ELF64, and what does not depend on the class.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/elf_builder.h"
#include "tests/vmm/boot/elf_loading.h"
#include "vmm/boot/elf_loader.h"
#include "vmm/boot/guest_image.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::byte> StartNoteImage(uint32_t start) {
  Elf32Builder elf;
  elf.AddCode();
  elf.AddNote("vmwire", 1, Elf32Builder::Bytes(start));
  return elf.Build();
}

TEST(Elf32Loader, LoadsSegmentsAtTheirPhysicalAddresses) {
  Elf32Builder elf;
  elf.Add(PT_LOAD, 0x203000, "data", PF_R | PF_W).p_memsz = 0x5000;
  elf.AddCode().p_vaddr = 0xc0100000;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  EXPECT_EQ(image.format, ImageFormat::kElf32);
  EXPECT_EQ(image.entry, GuestAddress(0x100000));
  ASSERT_EQ(image.segments.size(), 2u);
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x100000));
  EXPECT_EQ(image.segments[0].memory_size, 64u);
  EXPECT_EQ(image.segments[0].protection, Protection::kRead | Protection::kExecute);
  EXPECT_EQ(image.segments[1].address, GuestAddress(0x203000));
  EXPECT_EQ(image.segments[1].memory_size, 0x5000u);
  ASSERT_EQ(image.BytesOf(image.segments[1]).size(), 4u);
  EXPECT_EQ(image.BytesOf(image.segments[1])[3], std::byte{'a'});
}

TEST(Elf32Loader, StartsInProtected32) {
  Elf32Builder elf;
  elf.AddCode();

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(ProtocolOf(image.format), BootProtocol::kVmwire);
  EXPECT_THAT(Describe(image), HasSubstr("format        ELF32 i386, static, "));
}

TEST(Elf32Loader, TakesProtected32AsAnOption) {
  Elf32Builder elf;
  elf.AddCode();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              LoadElf(elf.Build(), {.start = StartMode::kProtected32}));
  EXPECT_EQ(image.start, StartMode::kProtected32);
}

TEST(Elf32Loader, RefusesEachOtherStart) {
  Elf32Builder elf;
  elf.AddCode();
  for (const StartMode start :
       {StartMode::kReal16, StartMode::kLong64Ring0, StartMode::kLong64Ring3}) {
    EXPECT_THAT(LoadElf(elf.Build(), {.start = start}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("an ELF32 image starts in protected32, not in " +
                                   ToString(start) + ", which --start asks for")));
  }
}

TEST(Elf32Loader, RefusesALongModeInItsNote) {
  for (const uint32_t start : {0u, 1u}) {
    EXPECT_THAT(LoadElf(StartNoteImage(start)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("starts in protected32, not in long64-ring"),
                               HasSubstr("its vmwire note"), HasSubstr("`--start protected32`"))));
  }
}

TEST(Elf32Loader, OptionGoesBeforeTheNote) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              LoadElf(StartNoteImage(1), {.start = StartMode::kProtected32}));
  EXPECT_EQ(image.start, StartMode::kProtected32);
}

TEST(Elf32Loader, ReadsDmaWindows) {
  Elf32Builder elf;
  elf.AddCode();
  elf.AddNote("vmwire", 2,
              Elf32Builder::Bytes(uint64_t{0x200000}) + Elf32Builder::Bytes(uint64_t{0x1000}));

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  ASSERT_EQ(image.dma_windows.size(), 1u);
  EXPECT_EQ(image.dma_windows[0].ToString(), "[0x200000, 0x201000)");
  EXPECT_EQ(image.start, StartMode::kProtected32);
}

TEST(Elf32Loader, RefusesX32) {
  Elf32Builder elf;
  elf.AddCode();
  elf.header.e_machine = EM_X86_64;
  ExpectElfRefused(elf.Build(), "64-bit code (x32)", offsetof(Elf32_Ehdr, e_machine));
}

TEST(Elf32Loader, RefusesADynamicSegment) {
  Elf32Builder elf;
  elf.AddCode();
  elf.Add(PT_DYNAMIC, 0x200000, "tags");
  ExpectElfRefused(elf.Build(), "program header 1: a dynamic executable; link with -static -no-pie",
                   Elf32Builder::ProgramOffset(1));
}

TEST(Elf32Loader, RefusesEveryTruncation) {
  Elf32Builder elf;
  elf.AddCode();
  const std::vector<std::byte> bytes = elf.Build();
  for (size_t size = SELFMAG; size < bytes.size(); ++size) {
    const bool in_header = size < sizeof(Elf32_Ehdr);
    std::vector<std::byte> truncated = bytes;
    truncated.resize(size);
    EXPECT_THAT(LoadElf(std::move(truncated)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(in_header ? "truncated" : "past the end of the file")))
        << size;
  }
}

TEST(Elf32Loader, RefusesProgramHeadersOfAnotherSize) {
  Elf32Builder elf;
  elf.AddCode();
  elf.header.e_phentsize = sizeof(Elf64_Phdr);
  ExpectElfRefused(elf.Build(), "program headers of 56 bytes; they have 32 in ELF32",
                   offsetof(Elf32_Ehdr, e_phentsize));
}

TEST(Elf32Loader, RefusesASegmentSmallerInMemoryThanInTheFile) {
  Elf32Builder elf;
  elf.AddCode().p_memsz = 63;
  ExpectElfRefused(elf.Build(), "smaller in memory (0x3f bytes) than in the file (0x40)",
                   Elf32Builder::ProgramOffset(0) + offsetof(Elf32_Phdr, p_memsz));
}

TEST(Elf32Loader, RefusesOverlappingSegments) {
  Elf32Builder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0x10003f, "x", PF_R);
  ExpectElfRefused(elf.Build(), "overlaps that of program header 0",
                   Elf32Builder::ProgramOffset(1) + offsetof(Elf32_Phdr, p_paddr));
}

TEST(Elf32Loader, RefusesASegmentBelowOneMiB) {
  Elf32Builder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0xfffff, "x", PF_R);
  ExpectElfRefused(elf.Build(), "its address 0xfffff is below 1 MiB",
                   Elf32Builder::ProgramOffset(1) + offsetof(Elf32_Phdr, p_paddr));
}

TEST(Elf32Loader, NoMemoryHoldsASegmentThatEndsAbove4GiB) {
  Elf32Builder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, 0xfffff000, "x", PF_R).p_memsz = 0x2000;

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, LoadElf(elf.Build()));

  EXPECT_THAT(CheckStartable(image),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[0xfffff000, 0x100001000)")));
}

TEST(Elf32Loader, RefusesAVirtualEntry) {
  Elf32Builder elf;
  elf.AddCode().p_vaddr = 0xc0100000;
  elf.header.e_entry = 0xc0100000;
  ExpectElfRefused(elf.Build(), "the entry 0xc0100000 lies in no executable segment",
                   offsetof(Elf32_Ehdr, e_entry));
}

}  // namespace
}  // namespace vmwire
