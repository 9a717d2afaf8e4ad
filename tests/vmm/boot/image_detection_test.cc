#include "vmm/boot/image_detection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/bzimage_builder.h"
#include "tests/vmm/boot/elf_builder.h"
#include "tests/vmm/boot/image_bytes.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Both multiboot headers, as an image of code may begin with them.
std::string BothHeaders() { return ImageBytes(48).Multiboot1(0, 0).Multiboot2(16, {0, 8}).text(); }

void AddPvhNote(ElfBuilder& elf) { elf.AddNote("Xen", 18, ElfBuilder::Bytes(uint32_t{0x100000})); }
void AddLinuxNote(ElfBuilder& elf) { elf.AddNote("Linux", 0x101, "none"); }
void AddOwnNote(ElfBuilder& elf) { elf.AddNote("vmwire", 1, ElfBuilder::Bytes(uint32_t{1})); }

absl::StatusOr<GuestImage> Load(std::vector<std::byte> file, ImageFormatChoice format) {
  return ParseGuestImage("image", std::move(file), {.format = format});
}

ImageFormat FormatOf(std::vector<std::byte> file,
                     ImageFormatChoice format = ImageFormatChoice::kAuto) {
  const absl::StatusOr<GuestImage> image = Load(std::move(file), format);
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? image->format : ImageFormat::kFlat;
}

void ExpectRefused(std::vector<std::byte> file, const std::string& reason, uint64_t offset) {
  EXPECT_THAT(Load(std::move(file), ImageFormatChoice::kAuto),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("image: "), HasSubstr(reason),
                             HasSubstr(absl::StrFormat("(at file offset 0x%x)", offset)))));
}

TEST(ImageDetection, OwnNoteGoesBeforeAllElse) {
  ElfBuilder elf;
  elf.AddCode(BothHeaders());
  AddPvhNote(elf);
  AddLinuxNote(elf);
  AddOwnNote(elf);
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kElf64);
}

TEST(ImageDetection, Multiboot2GoesBeforeMultiboot) {
  ElfBuilder elf;
  elf.AddCode(BothHeaders());
  AddPvhNote(elf);
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kMultiboot2);
}

TEST(ImageDetection, MultibootGoesBeforePvh) {
  ElfBuilder elf;
  elf.AddCode(ImageBytes(12).Multiboot1(0, 0).text());
  AddPvhNote(elf);
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kMultiboot1);
}

TEST(ImageDetection, PvhGoesBeforeVmlinux) {
  ElfBuilder elf;
  elf.AddCode();
  AddPvhNote(elf);
  AddLinuxNote(elf);
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kPvh);
}

TEST(ImageDetection, LinuxNoteMakesAVmlinux) {
  ElfBuilder elf;
  elf.AddCode();
  AddLinuxNote(elf);
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kVmlinux);
}

TEST(ImageDetection, AnotherXenNoteMakesAVmlinux) {
  ElfBuilder elf;
  elf.AddCode();
  elf.AddNote("Xen", 6, "linux");
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kVmlinux);
}

TEST(ImageDetection, ElfWithoutAnyIsOurs) {
  ElfBuilder elf;
  elf.AddCode();
  elf.AddNote("GNU", 3, "build-id");
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kElf64);
}

TEST(ImageDetection, Elf32WithoutAnyIsOurs) {
  Elf32Builder elf;
  elf.AddCode();
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kElf32);
}

TEST(ImageDetection, Elf32WithALinuxNoteIsNotOurs) {
  Elf32Builder elf;
  elf.AddCode();
  elf.AddNote("Linux", 0x101, "none");
  ExpectRefused(elf.Build(), "a vmlinux without PVH entry note must be ELF64", EI_CLASS);
  EXPECT_EQ(FormatOf(elf.Build(), ImageFormatChoice::kElf), ImageFormat::kElf32);
}

TEST(ImageDetection, MultibootAddressesLoadElfThatIsNoGoodAsElf) {
  Elf32Builder elf;
  elf.AddCode(ImageBytes(32)
                  .Multiboot1(0, 0x10000)
                  .Words(12, {0x300000, 0x300000, 0, 0, 0x300020})
                  .text())
      .p_filesz = 0x10000;
  EXPECT_EQ(FormatOf(elf.Build()), ImageFormat::kMultiboot1);
}

TEST(ImageDetection, OptionForcesAFormat) {
  ElfBuilder elf;
  elf.AddCode(BothHeaders());
  AddPvhNote(elf);
  const std::vector<std::byte> file = elf.Build();
  EXPECT_EQ(FormatOf(file, ImageFormatChoice::kElf), ImageFormat::kElf64);
  EXPECT_EQ(FormatOf(file, ImageFormatChoice::kMultiboot), ImageFormat::kMultiboot1);
  EXPECT_EQ(FormatOf(file, ImageFormatChoice::kMultiboot2), ImageFormat::kMultiboot2);
  EXPECT_EQ(FormatOf(file, ImageFormatChoice::kPvh), ImageFormat::kPvh);
  EXPECT_EQ(FormatOf(file, ImageFormatChoice::kLinux), ImageFormat::kVmlinux);
}

TEST(ImageDetection, OptionRefusesWhatIsNotOfTheFormat) {
  ElfBuilder elf;
  elf.AddCode();
  for (const ImageFormatChoice format :
       {ImageFormatChoice::kMultiboot, ImageFormatChoice::kMultiboot2, ImageFormatChoice::kPvh}) {
    EXPECT_THAT(Load(elf.Build(), format), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(Load(ImageBytes(0x1000).bytes(), ImageFormatChoice::kLinux),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a Linux kernel")));
}

TEST(ImageDetection, SetupHeaderGoesBeforeTheBootSector) {
  EXPECT_EQ(FormatOf(BzImageBuilder().Build()), ImageFormat::kBzImage);
  EXPECT_EQ(FormatOf(BzImageBuilder().Build(), ImageFormatChoice::kLinux), ImageFormat::kBzImage);
}

TEST(ImageDetection, MultibootAddressesGoBeforeTheBootSector) {
  ImageBytes file(0x1000);
  file.Multiboot1(0x20, 0x10000).Words(0x2c, {0x100020, 0x100000, 0, 0, 0x100040});
  EXPECT_EQ(FormatOf(file.bytes()), ImageFormat::kMultiboot1);
  file.Words(508, {0xaa550000});
  EXPECT_EQ(FormatOf(file.bytes()), ImageFormat::kMultiboot1);
}

TEST(ImageDetection, BootSectorIsFlat) {
  EXPECT_EQ(FormatOf(ImageBytes(0x1000).Words(508, {0xaa550000}).bytes()), ImageFormat::kFlat);
}

TEST(ImageDetection, TellsOfAMultibootHeaderPastItsPlace) {
  ElfBuilder elf;
  elf.AddCode(ImageBytes(0x4000).Multiboot1(0x3000, 0).text());
  ExpectRefused(elf.Build(), "a multiboot header does not count here", 0x3078);
  ExpectRefused(ImageBytes(0x10000).Multiboot2(0x8000, {0, 8}).bytes(),
                "a multiboot2 header does not count here", 0x8000);
}

TEST(ImageDetection, TellsOfAMultibootHeaderWithAWrongChecksum) {
  ElfBuilder elf;
  elf.AddCode(ImageBytes(12).Words(0, {0x1badb002, 3, 3}).text());
  ExpectRefused(elf.Build(), "a multiboot header has a wrong checksum", 0x78);
  EXPECT_EQ(FormatOf(elf.Build(), ImageFormatChoice::kElf), ImageFormat::kElf64);
}

TEST(ImageDetection, SaysWhatItLookedFor) {
  EXPECT_THAT(
      Load(ImageBytes(0x1000).bytes(), ImageFormatChoice::kAuto),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("ELF magic"), HasSubstr("HdrS"), HasSubstr("multiboot header"),
                     HasSubstr("multiboot2 header"), HasSubstr("boot sector"))));
}

}  // namespace
}  // namespace vmwire
