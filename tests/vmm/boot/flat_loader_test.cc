#include "vmm/boot/flat_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

std::vector<std::byte> BootSector(size_t size) {
  std::vector<std::byte> bytes(size);
  bytes[510] = std::byte{0x55};
  bytes[511] = std::byte{0xaa};
  return bytes;
}

GuestImage ImageOf(std::vector<std::byte> bytes) {
  GuestImage image;
  image.path = "image.bin";
  image.file = std::move(bytes);
  return image;
}

TEST(FlatLoader, SignatureEndsTheFirst512Bytes) {
  EXPECT_TRUE(HasBootSignature(BootSector(512)));
  EXPECT_TRUE(HasBootSignature(BootSector(1024)));
  EXPECT_FALSE(HasBootSignature(std::vector<std::byte>(512)));
}

TEST(FlatLoader, ShortFileHasNoSignature) {
  std::vector<std::byte> bytes = BootSector(512);
  bytes.pop_back();
  EXPECT_FALSE(HasBootSignature(bytes));
  EXPECT_FALSE(HasBootSignature({}));
}

TEST(FlatLoader, RealModeLiesAtTheBootSectorsAddress) {
  GuestImage image = ImageOf(BootSector(700));

  ASSERT_THAT(LoadFlat(StartMode::kReal16, image), IsOk());

  EXPECT_EQ(image.format, ImageFormat::kFlat);
  EXPECT_EQ(image.start, StartMode::kReal16);
  EXPECT_EQ(image.entry, GuestAddress(0x7c00));
  ASSERT_EQ(image.segments.size(), 1u);
  EXPECT_EQ(image.segments[0].address, GuestAddress(0x7c00));
  EXPECT_EQ(image.segments[0].memory_size, 700u);
  EXPECT_EQ(image.BytesOf(image.segments[0]).size(), 700u);
}

TEST(FlatLoader, OtherModesLieAtOneMiB) {
  for (StartMode mode :
       {StartMode::kProtected32, StartMode::kLong64Ring0, StartMode::kLong64Ring3}) {
    GuestImage image = ImageOf(std::vector<std::byte>(3));

    ASSERT_THAT(LoadFlat(mode, image), IsOk());

    EXPECT_EQ(image.start, mode);
    EXPECT_EQ(image.entry, GuestAddress(0x100000));
    EXPECT_EQ(image.end_address(), GuestAddress(0x100003));
  }
}

TEST(FlatLoader, RealModeImageMayReachToVideoMemory) {
  GuestImage image = ImageOf(BootSector(0xa0000 - 0x7c00));
  EXPECT_THAT(LoadFlat(StartMode::kReal16, image), IsOk());
}

TEST(FlatLoader, RefusesARealModeImageThatReachesIntoVideoMemory) {
  GuestImage image = ImageOf(BootSector(0xa0000 - 0x7c00 + 1));
  EXPECT_THAT(LoadFlat(StartMode::kReal16, image),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::HasSubstr("must end below 0xa0000, but has 623617 bytes")));
}

}  // namespace
}  // namespace vmwire
