#include "vmm/cli/memory_option.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmwire {
namespace {

TEST(ParseMemoryOption, AllKeysInAnyOrder) {
  const absl::StatusOr<MemoryOption> option =
      ParseMemoryOption("hugepages=none,backing=memfd,size=128M");

  ASSERT_TRUE(option.ok()) << option.status();
  EXPECT_EQ(option->size, 128 * kMiB);
  EXPECT_EQ(option->backing, MemoryBacking::kMemfd);
  EXPECT_EQ(option->huge_pages, HugePages::kNone);
}

TEST(ParseMemoryOption, FirstValueAloneIsTheSize) {
  const absl::StatusOr<MemoryOption> option = ParseMemoryOption("64M,backing=memfd");

  ASSERT_TRUE(option.ok()) << option.status();
  EXPECT_EQ(option->size, 64 * kMiB);
  EXPECT_EQ(option->backing, MemoryBacking::kMemfd);
}

TEST(ParseMemoryOption, AbsentKeysKeepTheirDefaults) {
  const absl::StatusOr<MemoryOption> option = ParseMemoryOption("backing=anonymous");

  ASSERT_TRUE(option.ok()) << option.status();
  EXPECT_FALSE(option->size.has_value());
  EXPECT_EQ(option->huge_pages, HugePages::kTransparent);
}

TEST(ParseMemoryOption, SizeOfWholePagesNeedsNoUnit) {
  ASSERT_TRUE(ParseMemoryOption("size=0x103000").ok());
  EXPECT_EQ(ParseMemoryOption("size=0x103000")->size, 0x103000u);
}

TEST(ParseMemoryOption, EveryBackingHasItsName) {
  EXPECT_EQ(ParseMemoryOption("backing=anonymous")->backing, MemoryBacking::kAnonymous);
  EXPECT_EQ(ParseMemoryOption("backing=memfd")->backing, MemoryBacking::kMemfd);
  EXPECT_EQ(ParseMemoryOption("backing=hugetlb")->backing, MemoryBacking::kHugetlb);
  EXPECT_EQ(ParseMemoryOption("backing=guest_memfd")->backing, MemoryBacking::kGuestMemfd);
}

TEST(ParseMemoryOption, SealedIsAWordWithoutValueAnywhere) {
  for (const char* text : {"backing=memfd,sealed", "sealed,backing=hugetlb,size=4M"}) {
    const absl::StatusOr<MemoryOption> option = ParseMemoryOption(text);
    ASSERT_TRUE(option.ok()) << option.status();
    EXPECT_TRUE(option->sealed);
  }
  EXPECT_FALSE(ParseMemoryOption("backing=memfd")->sealed);
}

struct Refused {
  const char* text;
  const char* reason;
};

class ParseMemoryOptionRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ParseMemoryOptionRefuses, WithTheReason) {
  const absl::StatusOr<MemoryOption> option = ParseMemoryOption(GetParam().text);

  EXPECT_EQ(option.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(option.status().ToString().find(GetParam().reason), std::string::npos)
      << option.status();
}

INSTANTIATE_TEST_SUITE_P(
    BadOptions, ParseMemoryOptionRefuses,
    testing::Values(
        Refused{"", "empty"}, Refused{"sise=1M", "did you mean 'size'?"},
        Refused{"size=1M,backing=memdf", "did you mean 'memfd'?"},
        Refused{"size=1M,backing=file", "known: anonymous, memfd, hugetlb, guest_memfd"},
        Refused{"backing=simulated", "known: anonymous, memfd, hugetlb, guest_memfd"},
        Refused{"backing=guestmemfd", "did you mean 'guest_memfd'?"},
        Refused{"backing=hugetlb,size=3M", "pages of 2 MiB"},
        Refused{"backing=hugetlb,hugepages=thp", "hugepages"},
        Refused{"hugepages=none,backing=guest_memfd", "hugepages"},
        Refused{"sealed", "backing=memfd"},
        Refused{"backing=guest_memfd,sealed", "cannot be sealed"},
        Refused{"backing=memfd,sealed=yes", "'sealed' takes no value"},
        Refused{"backing=memfd,sealed,sealed", "'sealed' is given twice"},
        Refused{"backing=memfd,seald", "not KEY=VALUE"},
        Refused{"size=1M,hugepages=tph", "did you mean 'thp'?"},
        Refused{"size=1M,size=2M", "'size' is given twice"},
        Refused{"1M,size=2M", "'size' is given twice"},
        Refused{"backing=memfd,1M", "'1M' is not KEY=VALUE"}, Refused{"1M,", "not KEY=VALUE"},
        Refused{",1M", "empty"}, Refused{"=1M", "unknown key ''"}, Refused{"size=", "empty"},
        Refused{"backing=", "unknown backing ''"},
        Refused{"size=0", "too small; the least is 1048576"}, Refused{"size=0M", "too small"},
        Refused{"-5M", "negative"}, Refused{"1.5M", "fraction"}, Refused{"lots", "number"},
        Refused{"size=1048577", "not a multiple of the page size"},
        Refused{"size=1048575", "too small"}, Refused{"size=16777216T", "beyond 64 bits"},
        Refused{"size=99999999999999999999", "beyond 64 bits"}));

TEST(ParseDmaWindow, StartAndSizeTakeUnits) {
  const absl::StatusOr<GuestRange> window = ParseDmaWindow("0x100000+64K");

  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_EQ(window->start(), GuestAddress(0x100000));
  EXPECT_EQ(window->size(), 0x10000u);
}

class ParseDmaWindowRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ParseDmaWindowRefuses, WithTheReason) {
  const absl::StatusOr<GuestRange> window = ParseDmaWindow(GetParam().text);

  EXPECT_EQ(window.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(window.status().ToString().find(GetParam().reason), std::string::npos)
      << window.status();
}

INSTANTIATE_TEST_SUITE_P(
    BadWindows, ParseDmaWindowRefuses,
    testing::Values(Refused{"", "GPA+LEN"}, Refused{"0x1000", "GPA+LEN"}, Refused{"+4K", "empty"},
                    Refused{"1M+", "empty"}, Refused{"1M+0", "is empty"},
                    Refused{"1M+100", "not page-aligned"}, Refused{"0x1001+4K", "not page-aligned"},
                    Refused{"1M+-4K", "negative"}, Refused{"1M+4K+4K", "unit"}));

TEST(ParseDmaWindow, EndBeyond64BitsIsOutOfRange) {
  EXPECT_EQ(ParseDmaWindow("0xfffffffffffff000+8K").status().code(), absl::StatusCode::kOutOfRange);
}

GuestImage ImageOf(ImageFormat format) {
  GuestImage image;
  image.format = format;
  image.segments.push_back({.address = kImageAddress, .memory_size = kMiB});
  return image;
}

TEST(DefaultMemoryFor, FollowsTheProtocol) {
  EXPECT_EQ(DefaultMemoryFor(ImageOf(ImageFormat::kElf64)), kDefaultMemoryBytes);
  EXPECT_EQ(DefaultMemoryFor(ImageOf(ImageFormat::kFlat)), kDefaultMemoryBytes);
  for (const ImageFormat format :
       {ImageFormat::kMultiboot1, ImageFormat::kMultiboot2, ImageFormat::kPvh}) {
    EXPECT_EQ(DefaultMemoryFor(ImageOf(format)), 64 * kMiB);
  }
  EXPECT_EQ(DefaultMemoryFor(ImageOf(ImageFormat::kBzImage)), 256 * kMiB);
  EXPECT_EQ(DefaultMemoryFor(ImageOf(ImageFormat::kVmlinux)), 256 * kMiB);
}

TEST(DefaultMemoryFor, GrowsWithModulesInWholeHugePages) {
  GuestImage image = ImageOf(ImageFormat::kBzImage);
  image.modules.push_back(
      {.path = "initrd", .command_line = "", .bytes = std::vector<std::byte>(10 * kMiB + 1)});
  EXPECT_EQ(DefaultMemoryFor(image), 308 * kMiB);
  image.format = ImageFormat::kMultiboot1;
  EXPECT_EQ(DefaultMemoryFor(image), 86 * kMiB);
}

TEST(DefaultMemoryFor, HasRoomForTheImage) {
  GuestImage image = ImageOf(ImageFormat::kPvh);
  image.segments.front().memory_size = 200 * kMiB;
  EXPECT_EQ(DefaultMemoryFor(image), 202 * kMiB);
}

}  // namespace
}  // namespace vmwire
