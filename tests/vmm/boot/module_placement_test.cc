#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"
#include "vmm/boot/boot_plan.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

GuestLayout Layout(uint64_t memory_bytes) { return *GuestLayout::Create(memory_bytes, 46); }

ImageSegment Segment(uint64_t start, uint64_t size) {
  return {.address = GuestAddress(start), .memory_size = size};
}

// An image at [1 MiB, 2 MiB).
GuestImage Image(ImageFormat format, const std::vector<size_t>& module_sizes) {
  GuestImage image;
  image.path = "kernel";
  image.format = format;
  image.segments = {Segment(kMiB, kMiB)};
  for (size_t size : module_sizes) {
    image.modules.push_back({.path = "module" + std::to_string(image.modules.size()),
                             .command_line = "",
                             .bytes = std::vector<std::byte>(size)});
  }
  return image;
}

TEST(ModulePlacement, NoModulesHaveNoPlaces) {
  EXPECT_THAT(*PlaceModules(Image(ImageFormat::kMultiboot1, {}), Layout(kMiB)), IsEmpty());
}

TEST(ModulePlacement, ModuleEndsInTheLastPageOfMemory) {
  EXPECT_THAT(*PlaceModules(Image(ImageFormat::kMultiboot1, {1}), Layout(64 * kMiB)),
              ElementsAre(GuestAddress(64 * kMiB - 0x1000)));
  EXPECT_THAT(*PlaceModules(Image(ImageFormat::kMultiboot1, {0x1001}), Layout(64 * kMiB)),
              ElementsAre(GuestAddress(64 * kMiB - 0x2000)));
}

TEST(ModulePlacement, ModulesAscendInTheirOrder) {
  EXPECT_THAT(
      *PlaceModules(Image(ImageFormat::kMultiboot2, {0x1000, 0x2001, 0x10}), Layout(64 * kMiB)),
      ElementsAre(GuestAddress(64 * kMiB - 0x5000), GuestAddress(64 * kMiB - 0x4000),
                  GuestAddress(64 * kMiB - 0x1000)));
}

TEST(ModulePlacement, EmptyModuleHasAPageOfItsOwn) {
  EXPECT_THAT(*PlaceModules(Image(ImageFormat::kMultiboot1, {0, 0}), Layout(64 * kMiB)),
              ElementsAre(GuestAddress(64 * kMiB - 0x2000), GuestAddress(64 * kMiB - 0x1000)));
}

TEST(ModulePlacement, ModulesStayBelowTheHole) {
  EXPECT_THAT(*PlaceModules(Image(ImageFormat::kPvh, {1}), Layout(8 * kGiB)),
              ElementsAre(GuestAddress(3 * kGiB - 0x1000)));
}

TEST(ModulePlacement, InitrdOfVmlinuxStaysWhereTheKernelTakesIt) {
  GuestImage image = Image(ImageFormat::kVmlinux, {1});
  image.linux_setup.initrd_address_max = 0x7fffffff;

  EXPECT_THAT(*PlaceModules(image, Layout(8 * kGiB)), ElementsAre(GuestAddress(0x7ffff000)));
}

TEST(ModulePlacement, InitrdOfBzImageStaysWhereTheKernelTakesIt) {
  GuestImage image = Image(ImageFormat::kBzImage, {131072});
  image.linux_setup.initrd_address_max = 0x37ffffff;

  EXPECT_THAT(*PlaceModules(image, Layout(8 * kGiB)), ElementsAre(GuestAddress(0x37fe0000)));
}

TEST(ModulePlacement, InitrdOfBzImageStaysBelowTheHoleWhateverTheKernelTakes) {
  GuestImage image = Image(ImageFormat::kBzImage, {1});
  image.linux_setup.initrd_address_max = UINT32_MAX;

  EXPECT_THAT(*PlaceModules(image, Layout(8 * kGiB)), ElementsAre(GuestAddress(3 * kGiB - 0x1000)));
}

TEST(ModulePlacement, PartOfAPageAtTheLimitIsNotUsed) {
  GuestImage image = Image(ImageFormat::kBzImage, {1});
  image.linux_setup.initrd_address_max = 0x37fffffe;

  EXPECT_THAT(*PlaceModules(image, Layout(8 * kGiB)), ElementsAre(GuestAddress(0x37ffe000)));
}

TEST(ModulePlacement, SegmentAtTheTopOfMemoryIsLeftAlone) {
  GuestImage image = Image(ImageFormat::kMultiboot1, {0x1000, 0x1000});
  // It begins inside a page, and one page is free above it.
  image.segments.push_back(Segment(63 * kMiB + 0x800, kMiB - 0x1800));

  EXPECT_THAT(*PlaceModules(image, Layout(64 * kMiB)),
              ElementsAre(GuestAddress(63 * kMiB - 0x1000), GuestAddress(64 * kMiB - 0x1000)));
}

TEST(ModulePlacement, SegmentThatEndsInsideAPageKeepsThePage) {
  GuestImage image = Image(ImageFormat::kMultiboot1, {0x1000});
  image.segments.push_back(Segment(63 * kMiB, kMiB - 0x1800));

  EXPECT_THAT(*PlaceModules(image, Layout(64 * kMiB)),
              ElementsAre(GuestAddress(64 * kMiB - 0x1000)));
}

TEST(ModulePlacement, GapBetweenSegmentsIsUsedIfItIsTheOnlyRoom) {
  GuestImage image = Image(ImageFormat::kMultiboot1, {0x2000});
  image.segments = {Segment(kMiB, kMiB), Segment(2 * kMiB + 0x2000, 2 * kMiB - 0x2000)};

  EXPECT_THAT(*PlaceModules(image, Layout(4 * kMiB)), ElementsAre(GuestAddress(2 * kMiB)));
}

TEST(ModulePlacement, RoomBetweenOneMiBAndTheImageIsUsed) {
  GuestImage image = Image(ImageFormat::kMultiboot1, {0x10000});
  image.segments = {Segment(2 * kMiB, 2 * kMiB)};

  EXPECT_THAT(*PlaceModules(image, Layout(4 * kMiB)),
              ElementsAre(GuestAddress(2 * kMiB - 0x10000)));
}

TEST(ModulePlacement, SegmentsAboveTheLimitAreInNobodysWay) {
  GuestImage image = Image(ImageFormat::kVmlinux, {1});
  image.linux_setup.initrd_address_max = 0x7fffffff;
  image.segments.push_back(Segment(0x90000000, kMiB));

  EXPECT_THAT(*PlaceModules(image, Layout(3 * kGiB)), ElementsAre(GuestAddress(0x7ffff000)));
}

TEST(ModulePlacement, RefusalNamesTheModuleAndTheMemoryThatWouldDo) {
  // [1 MiB, 2 MiB) is the image's, and 3 MiB and a page are asked for.
  const GuestImage image = Image(ImageFormat::kMultiboot1, {3 * kMiB, 1});

  EXPECT_THAT(PlaceModules(image, Layout(4 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("kernel: "), HasSubstr("module0 (3145728 bytes)"),
                             HasSubstr("below 0x400000"), HasSubstr("--memory size=6M"))));
  EXPECT_THAT(PlaceModules(image, Layout(5 * kMiB)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PlaceModules(image, Layout(5 * kMiB + kPageSize)), IsOk());
}

TEST(MemoryNeededByModules, IsTheLeastInWholeMiB) {
  // [1 MiB, 2 MiB) is the image's.
  EXPECT_EQ(MemoryNeededByModules(Image(ImageFormat::kMultiboot1, {})), kMiB);
  EXPECT_EQ(MemoryNeededByModules(Image(ImageFormat::kMultiboot1, {0})), 3 * kMiB);
  EXPECT_EQ(MemoryNeededByModules(Image(ImageFormat::kMultiboot1, {kMiB})), 3 * kMiB);
  EXPECT_EQ(MemoryNeededByModules(Image(ImageFormat::kMultiboot1, {kMiB, 1})), 4 * kMiB);
}

TEST(MemoryNeededByModules, EndsWhereTheKernelTakesNone) {
  GuestImage image = Image(ImageFormat::kBzImage, {kMiB + kPageSize});
  // A byte less than the page that it needs behind 3 MiB.
  image.linux_setup.initrd_address_max = 3 * kMiB + kPageSize - 2;
  EXPECT_EQ(MemoryNeededByModules(image), std::nullopt);
  image.linux_setup.initrd_address_max = 3 * kMiB + kPageSize - 1;
  EXPECT_EQ(MemoryNeededByModules(image), 4 * kMiB);
}

TEST(ModulePlacement, RefusesWhatNoMemorySizeHelps) {
  GuestImage image = Image(ImageFormat::kBzImage, {1, 3 * kMiB});
  image.linux_setup.initrd_address_max = 4 * kMiB - 1;

  EXPECT_THAT(PlaceModules(image, Layout(64 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("module1 (3145728 bytes)"),
                             HasSubstr("no memory size will do"), HasSubstr("below 0x400000"))));
}

TEST(ModulePlacement, NothingIsPlacedBelowOneMiB) {
  GuestImage image = Image(ImageFormat::kBzImage, {1});
  image.linux_setup.initrd_address_max = 0xfffff;

  EXPECT_THAT(PlaceModules(image, Layout(64 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no memory size will do")));
  image.linux_setup.initrd_address_max = 0;
  EXPECT_THAT(PlaceModules(image, Layout(64 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no memory size will do")));
}

}  // namespace
}  // namespace vmwire
