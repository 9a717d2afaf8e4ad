#include "vmm/boot/bzimage_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/bzimage_builder.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

absl::StatusOr<GuestImage> Load(const BzImageBuilder& builder,
                                std::optional<StartMode> start = std::nullopt) {
  GuestImage image;
  image.path = "vmlinuz";
  image.file = builder.Build();
  const absl::Status status = LoadBzImage(start, image);
  if (!status.ok()) return status;
  return image;
}

// Expects that the image is refused with `reason`, named at `offset` of the file.
void ExpectRefused(const BzImageBuilder& builder, const std::string& reason, uint64_t offset) {
  EXPECT_THAT(Load(builder),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("vmlinuz: "), HasSubstr(reason),
                             HasSubstr(absl::StrFormat("(at file offset 0x%x)", offset)))));
}

TEST(BzImageLoader, HasASetupHeaderIfBothMagicsAreThere) {
  EXPECT_TRUE(HasLinuxSetupHeader(BzImageBuilder().Build()));
  EXPECT_FALSE(HasLinuxSetupHeader(BzImageBuilder().Set<uint8_t>(0x1ff, 0).Build()));
  EXPECT_FALSE(HasLinuxSetupHeader(BzImageBuilder().Text(0x202, "Hdrs").Build()));
  EXPECT_FALSE(HasLinuxSetupHeader(BzImageBuilder().Resize(0x205).Build()));
  EXPECT_TRUE(HasLinuxSetupHeader(BzImageBuilder().Resize(0x206).Build()));
  EXPECT_FALSE(HasLinuxSetupHeader({}));
}

TEST(BzImageLoader, KernelWithA64BitEntryIsEnteredThere) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(BzImageBuilder()));

  EXPECT_EQ(image.format, ImageFormat::kBzImage);
  EXPECT_EQ(image.start, StartMode::kLong64Ring0);
  EXPECT_EQ(image.entry, GuestAddress(0x1000200));
}

TEST(BzImageLoader, KernelIsOneSegmentWithRoomToUnpackItself) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(BzImageBuilder()));

  ASSERT_EQ(image.segments.size(), 1u);
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x1000000));
  EXPECT_EQ(image.segments[0].memory_size, 0x800000u);
  EXPECT_EQ(image.segments[0].file_offset, 0x600u);
  EXPECT_EQ(image.segments[0].file_size, 0x1000u);
  EXPECT_EQ(image.segments[0].protection, Protection::kAll);
}

TEST(BzImageLoader, KernelThatIsLargerThanItsRoomKeepsAllOfItself) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder().Set<uint32_t>(0x260, 0x10)));

  EXPECT_EQ(image.segments[0].memory_size, 0x1000u);
}

TEST(BzImageLoader, SetupIsReadFromTheHeader) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image, Load(BzImageBuilder()));

  const std::vector<std::byte> file = BzImageBuilder().Build();
  EXPECT_EQ(image.linux_setup.header,
            std::vector<std::byte>(file.begin() + 0x1f1, file.begin() + 0x26c));
  EXPECT_EQ(image.linux_setup.initrd_address_max, 0x7fffffffu);
  EXPECT_EQ(image.linux_setup.command_line_size, 2047u);
  EXPECT_EQ(image.linux_setup.version, "6.1.0-test (builder) #1");
}

TEST(BzImageLoader, KernelWithoutA64BitEntryIsEnteredAtItsFirstByte) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder().Set<uint16_t>(0x236, 0xfffe)));

  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, GuestAddress(0x1000000));
}

TEST(BzImageLoader, ExtendedFlagsOfAnOlderHeaderAreNotRead) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder().Set<uint16_t>(0x206, 0x020b)));

  EXPECT_EQ(image.start, StartMode::kProtected32);
}

TEST(BzImageLoader, The32BitEntryIsTakenWhenAskedFor) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder(), StartMode::kProtected32));

  EXPECT_EQ(image.start, StartMode::kProtected32);
  EXPECT_EQ(image.entry, GuestAddress(0x1000000));
}

TEST(BzImageLoader, RefusesA64BitStartOfAKernelWithoutThatEntry) {
  EXPECT_THAT(Load(BzImageBuilder().Set<uint16_t>(0x236, 0), StartMode::kLong64Ring0),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no 64-bit entry")));
}

TEST(BzImageLoader, RefusesOtherStartModes) {
  for (StartMode start : {StartMode::kReal16, StartMode::kLong64Ring3}) {
    EXPECT_THAT(Load(BzImageBuilder(), start),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("vmlinuz: "), HasSubstr("long64-ring0 or protected32"),
                               HasSubstr(ToString(start)))));
  }
}

TEST(BzImageLoader, NoSetupSectorsMeansFour) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      Load(BzImageBuilder().Set<uint8_t>(0x1f1, 0).Set<uint32_t>(0x1f4, 0x10)));

  EXPECT_EQ(image.segments[0].file_offset, 0xa00u);
  EXPECT_EQ(image.segments[0].file_size, 0xc00u);
}

TEST(BzImageLoader, HeaderBefore210HasNoPreferredAddressAndNoRoom) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      Load(BzImageBuilder().Set<uint16_t>(0x206, 0x0209).Set<uint8_t>(0x234, 0)));

  EXPECT_EQ(image.segments[0].address, GuestAddress(0x100000));
  EXPECT_EQ(image.segments[0].memory_size, 0x1000u);
}

TEST(BzImageLoader, PreferredAddressBelowOneMiBIsRaised) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const GuestImage image,
      Load(BzImageBuilder().Set<uint64_t>(0x258, 0xfffff).Set<uint8_t>(0x234, 0)));

  EXPECT_EQ(image.segments[0].address, GuestAddress(0x100000));
}

TEST(BzImageLoader, RelocatableKernelIsAligned) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder().Set<uint64_t>(0x258, 0)));

  EXPECT_EQ(image.segments[0].address, GuestAddress(0x200000));
  EXPECT_EQ(image.entry, GuestAddress(0x200200));
}

TEST(BzImageLoader, RefusesAnAlignmentThatIsNoPowerOfTwo) {
  ExpectRefused(BzImageBuilder().Set<uint32_t>(0x230, 0), "0x0 is no power of 2", 0x230);
  ExpectRefused(BzImageBuilder().Set<uint32_t>(0x230, 0x180000), "0x180000 is no power of 2",
                0x230);
  EXPECT_THAT(Load(BzImageBuilder().Set<uint32_t>(0x230, 0).Set<uint8_t>(0x234, 0)), IsOk())
      << "of a kernel that stays where it is it means nothing";
}

TEST(BzImageLoader, RefusesAMissingBootSignature) {
  ExpectRefused(BzImageBuilder().Set<uint16_t>(0x1fe, 0x55aa), "signature of a boot sector", 0x1fe);
  ExpectRefused(BzImageBuilder().Resize(0x1ff), "signature of a boot sector", 0x1fe);
}

TEST(BzImageLoader, RefusesAMissingMagic) {
  ExpectRefused(BzImageBuilder().Text(0x202, "SrdH"), "\"HdrS\"", 0x202);
  ExpectRefused(BzImageBuilder().Resize(0x205), "\"HdrS\"", 0x202);
}

TEST(BzImageLoader, RefusesAnOldVersionByItsNumber) {
  ExpectRefused(BzImageBuilder().Set<uint16_t>(0x206, 0x0205), "version 2.05; the oldest", 0x206);
  ExpectRefused(BzImageBuilder().Set<uint16_t>(0x206, 0), "version 0.00; the oldest", 0x206);
  EXPECT_THAT(Load(BzImageBuilder().Set<uint16_t>(0x206, 0x0206)), IsOk());
}

TEST(BzImageLoader, RefusesEveryTruncation) {
  const size_t size = BzImageBuilder().Build().size();
  // The 16 bytes of a unit of syssize need not all be there.
  for (size_t length = 0; length <= size - 16; ++length) {
    EXPECT_THAT(Load(BzImageBuilder().Resize(length)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("(at file offset 0x")))
        << length;
  }
  EXPECT_THAT(Load(BzImageBuilder().Resize(size - 15)), IsOk());
}

TEST(BzImageLoader, RefusesATruncatedVersion) {
  ExpectRefused(BzImageBuilder().Resize(0x207), "truncated before its version", 0x207);
}

TEST(BzImageLoader, RefusesATruncatedHeader) {
  ExpectRefused(BzImageBuilder().Resize(0x26b), "truncated: it ends at 0x26c", 0x26b);
}

TEST(BzImageLoader, RefusesAHeaderWithoutAJump) {
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x200, 0xe9), "the byte e9", 0x200);
}

TEST(BzImageLoader, RefusesAHeaderThatEndsBeforeItBegins) {
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x201, 0x80), "goes back (80)", 0x201);
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x201, 0xff), "goes back (ff)", 0x201);
}

TEST(BzImageLoader, RefusesAHeaderThatIsTooShortForItsVersion) {
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x201, 0), "ends at 0x202", 0x201);
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x201, 0x61), "fields up to 0x264", 0x201);
  ExpectRefused(BzImageBuilder().Set<uint16_t>(0x206, 0x0209).Set<uint8_t>(0x201, 0x39),
                "fields up to 0x23c", 0x201);
  EXPECT_THAT(Load(BzImageBuilder().Set<uint8_t>(0x201, 0x62)), IsOk());
  EXPECT_THAT(Load(BzImageBuilder().Set<uint16_t>(0x206, 0x0209).Set<uint8_t>(0x201, 0x3a)),
              IsOk());
}

TEST(BzImageLoader, TheLongestHeaderFitsIntoTheZeroPage) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder().Set<uint8_t>(0x201, 0x7f)));

  EXPECT_LE(0x1f1 + image.linux_setup.header.size(), 0x290u);
}

TEST(BzImageLoader, RefusesAKernelForLowMemory) {
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x211, 0x80), "zImage", 0x211);
}

TEST(BzImageLoader, RefusesSetupSectorsThatTakeTheWholeFile) {
  // 0x1600 bytes: ten setup sectors would end exactly there.
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x1f1, 10), "nothing left for the kernel", 0x1f1);
  ExpectRefused(BzImageBuilder().Set<uint8_t>(0x1f1, 255), "nothing left for the kernel", 0x1f1);
  EXPECT_THAT(Load(BzImageBuilder().Set<uint8_t>(0x1f1, 9).Set<uint32_t>(0x1f4, 0),
                   StartMode::kProtected32),
              IsOk());
}

TEST(BzImageLoader, RefusesAKernelThatTheFileDoesNotHold) {
  ExpectRefused(BzImageBuilder().Set<uint32_t>(0x1f4, 0x101), "is it truncated?", 0x1f4);
  ExpectRefused(BzImageBuilder().Set<uint32_t>(0x1f4, UINT32_MAX), "is it truncated?", 0x1f4);
}

TEST(BzImageLoader, WhatFollowsTheKernelIsAllowed) {
  EXPECT_THAT(Load(BzImageBuilder().Resize(0x3001)), IsOk());
}

TEST(BzImageLoader, RefusesAKernelThatReachesPastFourGiB) {
  BzImageBuilder builder;
  ExpectRefused(builder.Set<uint64_t>(0x258, 0xff800000 + 0x200000), "past 4 GiB", 0x258);
  ExpectRefused(builder.Set<uint64_t>(0x258, 0x100000000), "past 4 GiB", 0x258);
  ExpectRefused(builder.Set<uint64_t>(0x258, 0xffffffffffe00000), "past 4 GiB", 0x258);
  ExpectRefused(builder.Set<uint64_t>(0x258, UINT64_MAX), "wraps", 0x258);
  ExpectRefused(builder.Set<uint8_t>(0x234, 0), "past 4 GiB", 0x258);
  EXPECT_THAT(Load(builder.Set<uint64_t>(0x258, 0xff800000)), IsOk());
}

TEST(BzImageLoader, RefusesMoreRoomThanThereIs) {
  ExpectRefused(BzImageBuilder().Set<uint32_t>(0x260, UINT32_MAX), "past 4 GiB", 0x258);
}

TEST(BzImageLoader, RefusesA64BitEntryBehindTheKernel) {
  ExpectRefused(BzImageBuilder(0x200), "64-bit entry would lie behind", 0x236);
  EXPECT_THAT(Load(BzImageBuilder(0x201)), IsOk());
  EXPECT_THAT(Load(BzImageBuilder(0x200), StartMode::kProtected32), IsOk());
}

TEST(BzImageLoader, KernelWithoutAVersionTextHasNone) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder().Set<uint16_t>(0x20e, 0)));

  EXPECT_EQ(image.linux_setup.version, "");
}

TEST(BzImageLoader, RefusesAVersionTextOutsideOfTheSetupSectors) {
  ExpectRefused(BzImageBuilder().Set<uint16_t>(0x20e, 0x400), "version text at 0x600", 0x20e);
  ExpectRefused(BzImageBuilder().Set<uint16_t>(0x20e, 0xffff), "version text at 0x101ff", 0x20e);
}

TEST(BzImageLoader, RefusesAVersionTextWithoutAnEnd) {
  ExpectRefused(BzImageBuilder().Text(0x300, std::string(0x300, 'x')), "has no end", 0x20e);
  EXPECT_THAT(Load(BzImageBuilder().Text(0x300, std::string(0x2ff, 'x'))), IsOk());
}

TEST(BzImageLoader, VersionTextIsFreeOfControlCharacters) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestImage image,
                              Load(BzImageBuilder().Text(0x300, "6\x1b[2J\x9b\x7f")));

  EXPECT_THAT(image.linux_setup.version, AllOf(HasSubstr("6?[2J??"), Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace vmwire
