#include "vmm/boot/boot_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/boot_memory.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

GuestImage Kernel(ImageFormat format, StartMode start = StartMode::kProtected32) {
  GuestImage image;
  image.path = "kernel";
  image.format = format;
  image.start = start;
  image.entry = GuestAddress(0x100000);
  image.segments = {{.address = GuestAddress(0x100000), .memory_size = 0x5000}};
  return image;
}

class BootPlanTest : public ::testing::Test {
 protected:
  absl::StatusOr<BootPlan> Plan(const GuestImage& image) {
    return PlanBoot(image, {.layout = layout_});
  }

  GuestLayout layout_ = *GuestLayout::Create(16 * kMiB, 46);
};

TEST_F(BootPlanTest, EachFormatHasItsProtocol) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan multiboot, Plan(Kernel(ImageFormat::kMultiboot1)));
  EXPECT_EQ(multiboot.start.rax, 0x2badb002u);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan multiboot2, Plan(Kernel(ImageFormat::kMultiboot2)));
  EXPECT_EQ(multiboot2.start.rax, 0x36d76289u);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan pvh, Plan(Kernel(ImageFormat::kPvh)));
  EXPECT_EQ(pvh.start.rbx, 0x9000u);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan linux_kernel,
                              Plan(Kernel(ImageFormat::kVmlinux, StartMode::kLong64Ring0)));
  EXPECT_EQ(linux_kernel.start.rsi, 0x7000u);
}

TEST_F(BootPlanTest, RefusesASegmentWhereStructuresLie) {
  for (const ImageFormat format :
       {ImageFormat::kMultiboot1, ImageFormat::kMultiboot2, ImageFormat::kPvh}) {
    GuestImage image = Kernel(format);
    image.segments[0].address = GuestAddress(0x9fff - 0x5000 + 1);
    EXPECT_THAT(Plan(image), StatusIs(absl::StatusCode::kInvalidArgument,
                                      AllOf(HasSubstr("the boot structure ["),
                                            HasSubstr("overlaps the segment [0x5000, 0xa000)"))));
  }
}

TEST_F(BootPlanTest, RefusesModulesWithoutRoom) {
  GuestImage image = Kernel(ImageFormat::kMultiboot1);
  image.modules = {
      {.path = "disk.img", .command_line = "", .bytes = std::vector<std::byte>(16 * kMiB)}};
  EXPECT_THAT(Plan(image), StatusIs(absl::StatusCode::kInvalidArgument,
                                    AllOf(HasSubstr("disk.img"), HasSubstr("--memory size=18M"))));
}

TEST_F(BootPlanTest, NothingOverlaps) {
  GuestImage image = Kernel(ImageFormat::kMultiboot1);
  image.modules.assign(
      3, {.path = "module", .command_line = "text", .bytes = std::vector<std::byte>(5000)});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(image));
  ASSERT_EQ(plan.modules.size(), 3u);
  EXPECT_LT(plan.modules[0], plan.modules[1]);
  EXPECT_LT(plan.modules[1], plan.modules[2]);
  EXPECT_LE(plan.modules[2].value() + 5000, 16 * kMiB);
}

TEST_F(BootPlanTest, WriteFillsBlocksAndModulesOnly) {
  GuestImage image = Kernel(ImageFormat::kMultiboot1);
  image.modules = {{.path = "module",
                    .command_line = "",
                    .bytes = std::vector<std::byte>(5000, std::byte{0xab})}};
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(image));
  const BootMemory memory(16 * kMiB);

  ASSERT_THAT(WriteBootPlan(plan, image, memory.memory()), IsOk());

  EXPECT_EQ(memory.At<uint64_t>(0x1010), 0x00cf9b000000ffffu) << "flat code of 32 bits";
  EXPECT_EQ(memory.At<uint64_t>(0x1018), 0x00cf93000000ffffu) << "flat data";
  EXPECT_EQ(memory.At<uint32_t>(memory.At<uint32_t>(0x9000 + 24)), plan.modules[0].value());
  EXPECT_EQ(memory.At<uint8_t>(plan.modules[0].value()), 0xab);
  EXPECT_EQ(memory.At<uint8_t>(plan.modules[0].value() + 4999), 0xab);
  EXPECT_TRUE(memory.IsZero(plan.modules[0].value() + 5000, 100));
  EXPECT_TRUE(memory.IsZero(0x100000, 0x5000)) << "the image is written by WriteImage";
}

}  // namespace
}  // namespace vmwire
