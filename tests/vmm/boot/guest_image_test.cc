#include "vmm/boot/guest_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"
#include "tests/vmm/boot/elf_builder.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::byte> BootSector() {
  std::vector<std::byte> bytes(512, std::byte{0x90});
  bytes[510] = std::byte{0x55};
  bytes[511] = std::byte{0xaa};
  return bytes;
}

std::vector<std::byte> Noise() { return std::vector<std::byte>(2000, std::byte{0x5a}); }

// An ELF image with code at 1 MiB and 0x3000 bytes of data at `data`, of which the file has 4.
GuestImage ElfImage(uint64_t data) {
  ElfBuilder elf;
  elf.AddCode();
  elf.Add(PT_LOAD, data, "data", PF_R | PF_W).p_memsz = 0x3000;
  elf.AddNote("vmwire", 2,
              ElfBuilder::Bytes(uint64_t{0x180000}) + ElfBuilder::Bytes(uint64_t{0x1000}));
  absl::StatusOr<GuestImage> image = ParseGuestImage("image.elf", elf.Build(), {});
  EXPECT_TRUE(image.ok()) << image.status();
  return *std::move(image);
}

GuestLayout LayoutOf(uint64_t memory_bytes) { return *GuestLayout::Create(memory_bytes, 46); }

TEST(GuestImage, ElfIsDetectedByItsMagic) {
  ElfBuilder elf;
  elf.AddCode();
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, ParseGuestImage("x", elf.Build(), {}));
  EXPECT_EQ(image.format, ImageFormat::kElf64);
}

TEST(GuestImage, BootSectorIsDetectedByItsSignature) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, ParseGuestImage("x", BootSector(), {}));
  EXPECT_EQ(image.format, ImageFormat::kFlat);
  EXPECT_EQ(image.start, StartMode::kReal16);
}

TEST(GuestImage, StartOptionGoesBeforeTheSignature) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      ParseGuestImage("x", BootSector(), {.start = StartMode::kProtected32}));
  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, kImageAddress);
}

TEST(GuestImage, RefusesNoiseAndSaysHowToLoadIt) {
  EXPECT_THAT(ParseGuestImage("noise.bin", Noise(), {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("noise.bin (2000 bytes)"), HasSubstr("ELF magic"),
                             HasSubstr("offset 510"),
                             HasSubstr("--format flat --start "
                                       "real16|protected32|long64-ring0|long64-ring3"))));
}

TEST(GuestImage, RefusesNoBytes) {
  EXPECT_THAT(ParseGuestImage("x", {}, {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(GuestImage, FlatLoadsNoiseInTheModeAskedFor) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      ParseGuestImage("x", Noise(),
                      {.format = ImageFormatChoice::kFlat, .start = StartMode::kLong64Ring3}));
  EXPECT_EQ(image.start, StartMode::kLong64Ring3);
  EXPECT_EQ(image.entry, kImageAddress);
}

TEST(GuestImage, FlatNoiseNeedsAMode) {
  EXPECT_THAT(ParseGuestImage("x", Noise(), {.format = ImageFormatChoice::kFlat}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs `--start")));
}

TEST(GuestImage, FlatLoadsAnElfFileAsItIs) {
  ElfBuilder elf;
  elf.AddCode();
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      ParseGuestImage("x", elf.Build(),
                      {.format = ImageFormatChoice::kFlat, .start = StartMode::kLong64Ring0}));
  EXPECT_EQ(image.format, ImageFormat::kFlat);
}

TEST(GuestImage, LoadNamesAMissingFile) {
  EXPECT_THAT(LoadGuestImage("/nonexistent/image", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/nonexistent/image")));
}

TEST(CheckFits, AcceptsAnImageThatEndsWithMemory) {
  EXPECT_THAT(CheckFits(ElfImage(0x1fd000), LayoutOf(2 * kMiB)), IsOk());
}

TEST(CheckFits, SaysHowMuchMemoryAnImageNeeds) {
  EXPECT_THAT(CheckFits(ElfImage(0x1fd001), LayoutOf(2 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("[0x1fd001, 0x200001)"), HasSubstr("--memory size=3M"))));
}

TEST(CheckFits, SaysThatNoMemoryWillDoInTheHole) {
  EXPECT_THAT(CheckFits(ElfImage(3 * kGiB), LayoutOf(8 * kGiB)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no memory size will do")));
}

TEST(CheckFits, AcceptsASegmentAboveTheHole) {
  EXPECT_THAT(CheckFits(ElfImage(4 * kGiB), LayoutOf(3 * kGiB + 0x3000)), IsOk());
}

TEST(WriteImage, CopiesSegmentsAndZeroesTheRest) {
  const GuestImage image = ElfImage(0x180000);
  const BootMemory memory(2 * kMiB);
  ASSERT_THAT(memory.memory().Store(GuestAddress(0x180004), UINT64_MAX), IsOk());

  ASSERT_THAT(WriteImage(image, memory.memory()), IsOk());

  EXPECT_EQ(memory.At<uint32_t>(0x100000), 0x90909090u);
  EXPECT_EQ(memory.At<char>(0x180003), 'a');
  EXPECT_TRUE(memory.IsZero(0x180004, 0x2ffc));
}

TEST(WriteImage, FailsOutsideOfMemory) {
  const BootMemory memory(2 * kMiB);
  EXPECT_THAT(WriteImage(ElfImage(0x1ff000), memory.memory()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(Describe, PrintsAllThatInspectShows) {
  EXPECT_EQ(
      Describe(ElfImage(0x180000)),
      "image         image.elf\n"
      "format        ELF64 x86-64, static, 336 bytes\n"
      "start mode    long64-ring0\n"
      "entry         0x100000\n"
      "segment       [0x100000, 0x100040) r-x, 64 bytes, 64 of them from file offset 0xe8\n"
      "segment       [0x180000, 0x183000) rw-, 12288 bytes, 4 of them from file offset 0x128\n"
      "DMA window    [0x180000, 0x181000), 4096 bytes\n"
      "memory needed 2 MiB\n");
}

}  // namespace
}  // namespace vmwire
