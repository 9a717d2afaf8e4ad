#include "vmm/boot/multiboot_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/elf_builder.h"
#include "tests/vmm/boot/image_bytes.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr uint32_t kAddressesFlag = 0x10000;

absl::StatusOr<GuestImage> Load(MultibootVersion version, std::vector<std::byte> file,
                                std::optional<StartMode> start = std::nullopt) {
  GuestImage image;
  image.path = "kernel";
  image.file = std::move(file);
  VMWIRE_RETURN_IF_ERROR(LoadMultiboot(version, start, image));
  return image;
}

absl::StatusOr<GuestImage> Load1(const ImageBytes& file) {
  return Load(MultibootVersion::k1, file.bytes());
}
absl::StatusOr<GuestImage> Load2(const ImageBytes& file) {
  return Load(MultibootVersion::k2, file.bytes());
}

void ExpectRefused(const absl::StatusOr<GuestImage>& image, const std::string& reason,
                   uint64_t offset) {
  EXPECT_THAT(image, StatusIs(absl::StatusCode::kInvalidArgument,
                              AllOf(HasSubstr("kernel: "), HasSubstr(reason),
                                    HasSubstr(absl::StrFormat("(at file offset 0x%x)", offset)))));
}

// A file of 0x3000 bytes whose header, at 0x1000, has these addresses: of the header, load, end of
// load, end of bss, entry.
ImageBytes WithAddresses(std::initializer_list<uint32_t> addresses) {
  return ImageBytes(0x3000).Multiboot1(0x1000, kAddressesFlag).Words(0x100c, addresses);
}

TEST(MultibootLoader, LoadsByTheAddressesOfTheHeader) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      Load1(WithAddresses({0x200800, 0x200000, 0x201800, 0x205000, 0x200820})));

  EXPECT_EQ(image.format, ImageFormat::kMultiboot1);
  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, GuestAddress(0x200820));
  ASSERT_EQ(image.segments.size(), 1u);
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x200000));
  EXPECT_EQ(image.segments[0].file_offset, 0x800u);
  EXPECT_EQ(image.segments[0].file_size, 0x1800u);
  EXPECT_EQ(image.segments[0].memory_size, 0x5000u);
  EXPECT_THAT(image.findings, Contains("loaded by the addresses in the header"));
}

TEST(MultibootLoader, LoadsAllOfTheFileWithoutAnEnd) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load1(WithAddresses({0x201000, 0x200000, 0, 0, 0x202fff})));
  EXPECT_EQ(image.segments[0].file_offset, 0u);
  EXPECT_EQ(image.segments[0].file_size, 0x3000u);
  EXPECT_EQ(image.segments[0].memory_size, 0x3000u);
}

TEST(MultibootLoader, RefusesALoadAddressAboveTheHeader) {
  ExpectRefused(Load1(WithAddresses({0x200000, 0x200001, 0, 0, 0x200001})), "load address 0x200001",
                0x1010);
}

TEST(MultibootLoader, RefusesALoadAddressBeforeTheFile) {
  ExpectRefused(Load1(WithAddresses({0x201001, 0x200000, 0, 0, 0x200000})),
                "the first byte would not be in the file", 0x1010);
}

TEST(MultibootLoader, RefusesALoadAddressBelowOneMiB) {
  ExpectRefused(Load1(WithAddresses({0x100fff, 0xfffff, 0, 0, 0x100000})), "is below 1 MiB",
                0x1010);
}

TEST(MultibootLoader, RefusesALoadEndPastTheFile) {
  ExpectRefused(Load1(WithAddresses({0x201000, 0x200000, 0x203001, 0, 0x200000})),
                "load end 0x203001: loading begins at 0x200000, and the file has 0x3000 bytes",
                0x1014);
  ExpectRefused(Load1(WithAddresses({0x201000, 0x200000, 0xffffffff, 0, 0x200000})),
                "load end 0xffffffff", 0x1014);
}

TEST(MultibootLoader, RefusesALoadEndThatIsNotAboveItsBeginning) {
  ExpectRefused(Load1(WithAddresses({0x201000, 0x200000, 0x200000, 0, 0x200000})),
                "load end 0x200000", 0x1014);
}

TEST(MultibootLoader, RefusesABssEndBelowTheLoadEnd) {
  ExpectRefused(Load1(WithAddresses({0x201000, 0x200000, 0x203000, 0x202fff, 0x200000})),
                "bss end 0x202fff", 0x1018);
  EXPECT_THAT(Load1(WithAddresses({0x201000, 0x200000, 0x203000, 0x203000, 0x200000})), IsOk());
}

TEST(MultibootLoader, RefusesAnEntryOutside) {
  for (const uint32_t entry : {0u, 0x1fffffu, 0x203000u, 0xffffffffu}) {
    ExpectRefused(Load1(WithAddresses({0x201000, 0x200000, 0, 0, entry})),
                  absl::StrFormat("the entry 0x%x", entry), 0x101c);
  }
}

TEST(MultibootLoader, RefusesAnImageThatEndsBeyond4GiB) {
  ExpectRefused(Load1(WithAddresses({0xfffff000, 0xffffe000, 0, 0, 0xffffe000})),
                "ends beyond 4 GiB", 0);
}

TEST(MultibootLoader, RefusesAFileThatIsNeitherElfNorHasAddresses) {
  ExpectRefused(Load1(ImageBytes(0x100).Multiboot1(0x20, 0)), "has no addresses (flag bit 16)",
                0x20);
  ExpectRefused(Load2(ImageBytes(0x100).Multiboot2(0x20, {0, 8})), "has no addresses (tag 2)",
                0x20);
}

TEST(MultibootLoader, Version2LoadsByItsTags) {
  ImageBytes file(0x1000);
  file.Multiboot2(0x20, {2, 24, 0x200020, 0x200000, 0x200800, 0x202000, 3, 12, 0x200100, 0, 0, 8});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load2(file));
  EXPECT_EQ(image.format, ImageFormat::kMultiboot2);
  EXPECT_EQ(image.entry, GuestAddress(0x200100));
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x200000));
  EXPECT_EQ(image.segments[0].file_size, 0x800u);
  EXPECT_EQ(image.segments[0].memory_size, 0x2000u);
}

TEST(MultibootLoader, Version2LoadsFromTheBeginningOfTheFileIfAsked) {
  ImageBytes file(0x1000);
  file.Multiboot2(0x20, {2, 24, 0x200020, 0xffffffff, 0, 0, 3, 12, 0x200100, 0, 0, 8});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load2(file));
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x200000));
  EXPECT_EQ(image.segments[0].file_offset, 0u);
  EXPECT_EQ(image.segments[0].file_size, 0x1000u);
}

TEST(MultibootLoader, Version2RefusesABeginningBelowAddressZero) {
  ImageBytes file(0x1000);
  file.Multiboot2(0x20, {2, 24, 0x1f, 0xffffffff, 0, 0, 3, 12, 0x200100, 0, 0, 8});
  ExpectRefused(Load2(file), "its address 0x1f is less than its file offset 0x20", 0x38);
}

TEST(MultibootLoader, LoadsElf32) {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 0x3).text());
  elf.Add(PT_LOAD, 0x203000, "data", PF_R | PF_W).p_memsz = 0x5000;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(MultibootVersion::k1, elf.Build()));
  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, GuestAddress(0x100000));
  ASSERT_EQ(image.segments.size(), 2u);
  EXPECT_EQ(image.segments[0].memory_size, 76u);
  EXPECT_EQ(image.segments[1].address, GuestAddress(0x203000));
  EXPECT_EQ(image.segments[1].memory_size, 0x5000u);
  EXPECT_EQ(image.segments[1].protection, Protection::kReadWrite);
  EXPECT_THAT(image.findings, Contains("loaded as ELF32"));
}

TEST(MultibootLoader, LoadsElf64) {
  ElfBuilder elf;
  elf.AddCode(ImageBytes(24).Multiboot2(0, {0, 8}).text());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(MultibootVersion::k2, elf.Build()));
  EXPECT_EQ(image.format, ImageFormat::kMultiboot2);
  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, GuestAddress(0x100000));
}

TEST(MultibootLoader, EntryTagGoesBeforeTheElfEntry) {
  ElfBuilder elf;
  elf.AddCode(ImageBytes(40).Multiboot2(0, {3, 12, 0x100030, 0, 0, 8}).text());
  elf.header.e_entry = 0;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(MultibootVersion::k2, elf.Build()));
  EXPECT_EQ(image.entry, GuestAddress(0x100030));
}

TEST(MultibootLoader, AddressesGoBeforeElf) {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(32)
                  .Multiboot1(0, kAddressesFlag)
                  .Words(12, {0x300000, 0x300000, 0, 0, 0x300020})
                  .text());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(MultibootVersion::k1, elf.Build()));
  ASSERT_EQ(image.segments.size(), 1u);
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x300000));
  EXPECT_EQ(image.segments[0].file_offset, sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr));
  EXPECT_EQ(image.entry, GuestAddress(0x300020));
}

TEST(MultibootLoader, AVirtualEntryIsTranslated) {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 0).text()).p_vaddr = 0xc0100000;
  elf.header.e_entry = 0xc0100010;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(MultibootVersion::k1, elf.Build()));
  EXPECT_EQ(image.entry, GuestAddress(0x100010));
}

TEST(MultibootLoader, APhysicalEntryOfAHighLinkedKernelIsTakenAsItIs) {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 0).text()).p_vaddr = 0xc0100000;
  elf.header.e_entry = 0x10000c;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(MultibootVersion::k1, elf.Build()));
  EXPECT_EQ(image.entry, GuestAddress(0x10000c));
}

TEST(MultibootLoader, RefusesAnElfEntryOutside) {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 0).text());
  elf.header.e_entry = 0x10004c;
  ExpectRefused(Load(MultibootVersion::k1, elf.Build()),
                "the entry 0x10004c lies in no executable segment", offsetof(Elf32_Ehdr, e_entry));
}

TEST(MultibootLoader, RefusesElfBeyond4GiB) {
  ElfBuilder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 0).text());
  elf.Add(PT_LOAD, 0xfffff000, "x").p_memsz = 0x1001;
  ExpectRefused(Load(MultibootVersion::k1, elf.Build()), "[0xfffff000, 0x100000001) ends beyond",
                sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr) + 76);
}

TEST(MultibootLoader, RefusesMalformedElfAsElf) {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 0).text()).p_filesz = 0x1000;
  ExpectRefused(Load(MultibootVersion::k1, elf.Build()), "past the end of the file",
                Elf32Builder::ProgramOffset(0) + offsetof(Elf32_Phdr, p_offset));
}

TEST(MultibootLoader, StartsInProtectedModeOnly) {
  const std::vector<std::byte> file = WithAddresses({0x201000, 0x200000, 0, 0, 0x200000}).bytes();
  EXPECT_THAT(Load(MultibootVersion::k1, file, StartMode::kProtected32), IsOk());
  EXPECT_THAT(Load(MultibootVersion::k1, file, StartMode::kLong64Ring0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("a multiboot image starts in protected32, not in long64-ring0")));
}

}  // namespace
}  // namespace vmwire
