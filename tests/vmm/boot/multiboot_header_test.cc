#include "vmm/boot/multiboot_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/image_bytes.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr MultibootVersion k1 = MultibootVersion::k1;
constexpr MultibootVersion k2 = MultibootVersion::k2;

std::optional<uint64_t> Find(MultibootVersion version, const ImageBytes& image) {
  return FindMultibootHeader(version, ByteReader(image.bytes()));
}

absl::StatusOr<MultibootHeader> Read(MultibootVersion version, const ImageBytes& image) {
  return ReadMultibootHeader(version, "kernel", ByteReader(image.bytes()));
}

void ExpectRefused(MultibootVersion version, const ImageBytes& image, const std::string& reason,
                   uint64_t offset) {
  EXPECT_THAT(Read(version, image),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("kernel: "), HasSubstr(reason),
                             HasSubstr(absl::StrFormat("(at file offset 0x%x)", offset)))));
}

TEST(MultibootHeader, Version1EndsInTheFirst8KiB) {
  EXPECT_EQ(Find(k1, ImageBytes(0x4000).Multiboot1(8192 - 12, 0)), 8192u - 12);
  EXPECT_EQ(Find(k1, ImageBytes(0x4000).Multiboot1(8192 - 8, 0)), std::nullopt);
}

TEST(MultibootHeader, Version1IsAlignedTo4) {
  EXPECT_EQ(Find(k1, ImageBytes(0x1000).Multiboot1(0x104, 0)), 0x104u);
  EXPECT_EQ(Find(k1, ImageBytes(0x1000).Multiboot1(0x106, 0)), std::nullopt);
}

TEST(MultibootHeader, Version2EndsInTheFirst32KiB) {
  EXPECT_EQ(Find(k2, ImageBytes(0x10000).Multiboot2(32768 - 24, {0, 8})), 32768u - 24);
  EXPECT_EQ(Find(k2, ImageBytes(0x10000).Multiboot2(32768, {0, 8})), std::nullopt);
}

TEST(MultibootHeader, Version2IsAlignedTo8) {
  EXPECT_EQ(Find(k2, ImageBytes(0x1000).Multiboot2(0x104, {0, 8})), std::nullopt);
}

TEST(MultibootHeader, AMagicWithAWrongSumIsPassedOver) {
  ImageBytes image(0x1000);
  image.Words(0x10, {0x1badb002, 3, 0x12345678}).Multiboot1(0x40, 3);
  EXPECT_EQ(Find(k1, image), 0x40u);
}

TEST(MultibootHeader, SaysThatThereIsNone) {
  ExpectRefused(k1, ImageBytes(0x4000), "no multiboot header (magic 0x1badb002", 0);
  ExpectRefused(k2, ImageBytes(0x4000), "no multiboot2 header (magic 0xe85250d6", 0);
  ExpectRefused(k1, ImageBytes(1), "no multiboot header", 0);
}

TEST(MultibootHeader, SaysWhereOneLiesThatDoesNotCount) {
  ExpectRefused(k1, ImageBytes(0x4000).Multiboot1(8192, 0),
                "must lie in the first 8192 bytes of the file, aligned to 4", 8192);
  ExpectRefused(k1, ImageBytes(0x4000).Multiboot1(8188, 0), "must lie in the first 8192 bytes",
                8188);
  ExpectRefused(k2, ImageBytes(0x10000).Multiboot2(32768, {0, 8}),
                "must lie in the first 32768 bytes of the file, aligned to 8", 32768);
  ExpectRefused(k2, ImageBytes(0x1000).Multiboot2(0x104, {0, 8}), "aligned to 8", 0x104);
}

TEST(MultibootHeader, SaysWhereOneHasAWrongChecksum) {
  ExpectRefused(k1, ImageBytes(0x1000).Words(0x10, {0x1badb002, 3, 0}), "wrong checksum", 0x10);
  ExpectRefused(k2, ImageBytes(0x1000).Words(0x10, {0xe85250d6, 0, 24, 0}), "wrong checksum", 0x10);
}

TEST(MultibootHeader, Version1TakesFlagsOfModulesAndMemory) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MultibootHeader header,
                              Read(k1, ImageBytes(0x100).Multiboot1(0x20, 0x3)));
  EXPECT_EQ(header.offset, 0x20u);
  EXPECT_FALSE(header.addresses.has_value());
  EXPECT_FALSE(header.entry.has_value());
  EXPECT_THAT(header.findings, ElementsAre("multiboot header at file offset 0x20, flags 0x3"));
}

TEST(MultibootHeader, Version1VideoIsNotGivenAndSaidSo) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MultibootHeader header,
                              Read(k1, ImageBytes(0x100).Multiboot1(0x20, 0x4)));
  EXPECT_THAT(header.findings, Contains(HasSubstr("there is no display")));
}

TEST(MultibootHeader, Version1RefusesEachUnknownFlagThatMustBeKnown) {
  for (uint32_t bit = 3; bit < 16; ++bit) {
    ExpectRefused(k1, ImageBytes(0x100).Multiboot1(0x20, 1u << bit),
                  absl::StrFormat("what its flags 0x%x mean", 1u << bit), 0x24);
  }
}

TEST(MultibootHeader, Version1TakesUnknownFlagsThatNeedNotBeKnown) {
  EXPECT_THAT(Read(k1, ImageBytes(0x100).Multiboot1(0x20, 0xfffe0000)), IsOk());
}

TEST(MultibootHeader, Version1AddressesAreBehindTheChecksum) {
  ImageBytes image(0x100);
  image.Multiboot1(0x20, 0x10000).Words(0x2c, {0x100020, 0x100000, 0x100100, 0x101000, 0x100040});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MultibootHeader header, Read(k1, image));
  ASSERT_TRUE(header.addresses.has_value());
  EXPECT_EQ(header.addresses->file_offset, 0x2cu);
  EXPECT_EQ(header.addresses->header, 0x100020u);
  EXPECT_EQ(header.addresses->load, 0x100000u);
  EXPECT_EQ(header.addresses->load_end, 0x100100u);
  EXPECT_EQ(header.addresses->bss_end, 0x101000u);
  ASSERT_TRUE(header.entry.has_value());
  EXPECT_EQ(header.entry->file_offset, 0x3cu);
  EXPECT_EQ(header.entry->address, 0x100040u);
}

TEST(MultibootHeader, Version1RefusesEveryTruncation) {
  ImageBytes image(0x100);
  image.Multiboot1(0x20, 0x10000).Words(0x2c, {0x100020, 0x100000, 0, 0, 0x100040});
  for (size_t size = 0x20; size < 0x24; ++size) {
    ExpectRefused(k1, ImageBytes(image).Truncate(size), "no multiboot header", 0);
  }
  for (size_t size = 0x24; size < 0x2c; ++size) {
    ExpectRefused(k1, ImageBytes(image).Truncate(size), "header is truncated", 0x20);
  }
  for (size_t size = 0x2c; size < 0x40; ++size) {
    ExpectRefused(k1, ImageBytes(image).Truncate(size), "addresses are truncated", 0x2c);
  }
  EXPECT_THAT(Read(k1, ImageBytes(image).Truncate(0x40)), IsOk());
}

TEST(MultibootHeader, Version1AddressesEndInTheFirst8KiB) {
  ImageBytes image(0x4000);
  image.Multiboot1(8192 - 28, 0x10000);
  ExpectRefused(k1, image, "addresses are truncated", 8192 - 16);
}

TEST(MultibootHeader, Version2TakesAHeaderWithoutTags) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MultibootHeader header,
                              Read(k2, ImageBytes(0x100).Multiboot2(0x20, {0, 8})));
  EXPECT_EQ(header.offset, 0x20u);
  EXPECT_THAT(header.findings, ElementsAre("multiboot2 header at file offset 0x20, 24 bytes"));
}

TEST(MultibootHeader, Version2RefusesAnotherArchitecture) {
  const uint32_t sum = 0u - 0xe85250d6 - 4 - 24;
  ExpectRefused(k2, ImageBytes(0x100).Words(0x20, {0xe85250d6, 4, 24, sum, 0, 8}),
                "for architecture 4", 0x24);
}

TEST(MultibootHeader, Version2RefusesALengthThatLies) {
  for (const uint32_t length : {0u, 15u, 0xe1u, 0x10000u, 0xffffffffu}) {
    const uint32_t sum = 0u - 0xe85250d6 - length;
    ExpectRefused(k2, ImageBytes(0x100).Words(0x20, {0xe85250d6, 0, length, sum, 0, 8}),
                  absl::StrFormat("says that it has %d bytes", length), 0x28);
  }
}

TEST(MultibootHeader, Version2HeaderEndsInTheFirst32KiB) {
  ExpectRefused(k2, ImageBytes(0x10000).Multiboot2(32768 - 16, {0, 8}), "must end in the first",
                32768 - 8);
}

TEST(MultibootHeader, Version2RefusesEveryTruncation) {
  ImageBytes image(0x100);
  image.Multiboot2(0x20, {0, 8});
  for (size_t size = 0x24; size < 0x30; ++size) {
    ExpectRefused(k2, ImageBytes(image).Truncate(size), "header is truncated", 0x20);
  }
  for (size_t size = 0x30; size < 0x38; ++size) {
    ExpectRefused(k2, ImageBytes(image).Truncate(size), "must end in the first", 0x28);
  }
}

TEST(MultibootHeader, Version2TagsSayWhereToLoad) {
  ImageBytes image(0x100);
  image.Multiboot2(0x20, {2, 24, 0x100020, 0x100000, 0x100100, 0x101000,  // addresses
                          3, 12, 0x100080, 0,                             // entry, and padding
                          6, 8,                                           // module alignment
                          0, 8});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MultibootHeader header, Read(k2, image));
  ASSERT_TRUE(header.addresses.has_value());
  EXPECT_EQ(header.addresses->file_offset, 0x38u);
  EXPECT_EQ(header.addresses->header, 0x100020u);
  EXPECT_EQ(header.addresses->load, 0x100000u);
  EXPECT_EQ(header.addresses->load_end, 0x100100u);
  EXPECT_EQ(header.addresses->bss_end, 0x101000u);
  ASSERT_TRUE(header.entry.has_value());
  EXPECT_EQ(header.entry->file_offset, 0x50u);
  EXPECT_EQ(header.entry->address, 0x100080u);
}

TEST(MultibootHeader, Version2TagsOfOffersArePassedOver) {
  ImageBytes image(0x100);
  image.Multiboot2(0x20, {5,  20, 1024,     768,        32,     0,  // framebuffer
                          7,  8,                                    // EFI boot services
                          8,  12, 0x100000, 0,                      // EFI i386 entry
                          9,  12, 0x100000, 0,                      // EFI amd64 entry
                          10, 24, 0x100000, 0xffffffff, 0x1000, 1,  // relocatable
                          0,  8});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MultibootHeader header, Read(k2, image));
  EXPECT_THAT(header.findings, Contains(HasSubstr("prefers a framebuffer")));
}

TEST(MultibootHeader, Version2RequestsOfNamedInformationAreTaken) {
  EXPECT_THAT(Read(k2, ImageBytes(0x100).Multiboot2(0x20, {1, 20, 4, 8, 21, 0, 0, 8})), IsOk());
}

TEST(MultibootHeader, Version2RefusesARequestOfUnknownInformation) {
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {1, 16, 4, 22, 0, 8}),
                "information of type 22", 0x3c);
  EXPECT_THAT(Read(k2, ImageBytes(0x100).Multiboot2(0x20, {OptionalTag(1), 16, 4, 22, 0, 8})),
              IsOk());
}

TEST(MultibootHeader, Version2RefusesAConsoleThatMustBeThere) {
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {4, 12, 1, 0, 0, 8}), "there is no display",
                0x30);
  EXPECT_THAT(Read(k2, ImageBytes(0x100).Multiboot2(0x20, {4, 12, 2, 0, 0, 8})), IsOk());
  EXPECT_THAT(Read(k2, ImageBytes(0x100).Multiboot2(0x20, {OptionalTag(4), 12, 1, 0, 0, 8})),
              IsOk());
}

TEST(MultibootHeader, Version2RefusesAnUnknownTagUnlessItIsOptional) {
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {11, 8, 0, 8}),
                "multiboot2 tag 11: unknown, and not marked as optional", 0x30);
  EXPECT_THAT(Read(k2, ImageBytes(0x100).Multiboot2(0x20, {OptionalTag(11), 8, 0, 8})), IsOk());
}

TEST(MultibootHeader, Version2RefusesATagWhoseSizeLies) {
  for (const uint32_t size : {0u, 7u, 17u, 0xffffffffu}) {
    ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {OptionalTag(11), size, 0, 8}),
                  absl::StrFormat("its size of %d bytes", size), 0x30);
  }
}

TEST(MultibootHeader, Version2RefusesATagThatIsTooSmall) {
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {2, 16, 0x100020, 0x100000, 0, 8}),
                "has 16 bytes; it has 24", 0x30);
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {3, 8, 0, 8}), "has 8 bytes; it has 12",
                0x30);
}

TEST(MultibootHeader, Version2RefusesAHeaderWithoutEndTag) {
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {6, 8}), "without an end tag", 0x38);
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {}), "without an end tag", 0x30);
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {3, 12, 0x100000}), "without an end tag",
                0x3c);
}

TEST(MultibootHeader, Version2RefusesSecondAddressesAndEntries) {
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {3, 12, 1, 0, 3, 12, 1, 0, 0, 8}),
                "a second one of an entry", 0x40);
  ExpectRefused(
      k2,
      ImageBytes(0x100).Multiboot2(0x20, {2, 24, 0, 0, 0, 0, 2, 24, 0, 0, 0, 0, 3, 12, 1, 0, 0, 8}),
      "a second one of addresses", 0x48);
}

TEST(MultibootHeader, Version2RefusesAddressesWithoutAnEntry) {
  ExpectRefused(k2, ImageBytes(0x100).Multiboot2(0x20, {2, 24, 0x100020, 0x100000, 0, 0, 0, 8}),
                "a tag of addresses but none of an entry", 0x38);
}

}  // namespace
}  // namespace vmwire
