#include "vmm/boot/linux_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/bzimage_builder.h"
#include "vmm/boot/bzimage_loader.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

GuestImage BzImage(BzImageBuilder builder = BzImageBuilder()) {
  GuestImage image;
  image.path = "vmlinuz";
  image.file = builder.Build();
  EXPECT_THAT(LoadBzImage(std::nullopt, image), IsOk());
  return image;
}

GuestImage Vmlinux() {
  GuestImage image;
  image.path = "vmlinux";
  image.format = ImageFormat::kVmlinux;
  image.start = StartMode::kLong64Ring0;
  image.entry = GuestAddress(0x1000070);
  image.segments = {{.address = GuestAddress(0x1000000), .memory_size = 8 * kMiB}};
  image.linux_setup.initrd_address_max = 0x7fffffff;
  image.linux_setup.command_line_size = 2047;
  return image;
}

GuestImage WithInitrd(GuestImage image, size_t size) {
  image.modules = {{.path = "initrd", .command_line = "", .bytes = std::vector<std::byte>(size)}};
  return image;
}

class LinuxPlan : public ::testing::Test {
 protected:
  absl::StatusOr<BootPlan> Plan(const GuestImage& image) { return PlanLinux(image, facts_); }

  static const BootBlock* BlockAt(const BootPlan& plan, uint64_t address) {
    for (const BootBlock& block : plan.blocks) {
      if (block.address == GuestAddress(address)) return &block;
    }
    return nullptr;
  }

  // A field of the zero page.
  template <typename T>
  static T ZeroPage(const BootPlan& plan, size_t offset) {
    T value = {};
    const BootBlock* page = BlockAt(plan, 0x7000);
    EXPECT_NE(page, nullptr);
    if (page == nullptr) return value;
    EXPECT_EQ(page->bytes.size(), 0x1000u);
    std::memcpy(&value, page->bytes.data() + offset, sizeof(T));
    return value;
  }

  // The bytes at the address of the command line, the zero at the end included.
  static std::string CommandLine(const BootPlan& plan) {
    const BootBlock* block = BlockAt(plan, 0x8000);
    if (block == nullptr) return "there is none";
    return {reinterpret_cast<const char*>(block->bytes.data()), block->bytes.size()};
  }

  GuestLayout layout_ = *GuestLayout::Create(64 * kMiB, 46);
  MachineFacts facts_{.layout = layout_};
};

TEST_F(LinuxPlan, EntersInLongModeWithTheZeroPageInRsi) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  EXPECT_EQ(plan.start.mode, StartMode::kLong64Ring0);
  EXPECT_EQ(plan.start.entry, GuestAddress(0x1000200));
  EXPECT_EQ(plan.start.segments, StartSegments::kFlat);
  EXPECT_EQ(plan.start.rsi, 0x7000u);
  EXPECT_EQ(plan.start.rbx, 0u);
  EXPECT_EQ(plan.start.rdi, 0u);
}

TEST_F(LinuxPlan, EntersA32BitKernelWithoutPageTables) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan,
                              Plan(BzImage(BzImageBuilder().Set<uint16_t>(0x236, 0))));

  EXPECT_EQ(plan.start.mode, StartMode::kProtected32);
  EXPECT_EQ(plan.start.entry, GuestAddress(0x1000000));
  EXPECT_EQ(plan.start.rsi, 0x7000u);
  EXPECT_EQ(BlockAt(plan, 0x10000), nullptr);
}

TEST_F(LinuxPlan, LongModeHasPageTables) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  const BootBlock* tables = BlockAt(plan, 0x10000);
  ASSERT_NE(tables, nullptr);
  EXPECT_EQ(tables->bytes.size(), 6 * 0x1000u) << "of 4 GiB";
}

TEST_F(LinuxPlan, CodeIsAt10AndDataAt18) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  const BootBlock* gdt = BlockAt(plan, 0x1000);
  ASSERT_NE(gdt, nullptr);
  ASSERT_EQ(gdt->bytes.size(), 0x20u);
  uint64_t code = 0;
  uint64_t data = 0;
  std::memcpy(&code, gdt->bytes.data() + 0x10, 8);
  std::memcpy(&data, gdt->bytes.data() + 0x18, 8);
  EXPECT_EQ(code, 0x00af9b000000ffffu);
  EXPECT_EQ(data, 0x00cf93000000ffffu);
}

TEST_F(LinuxPlan, BlocksAreDisjoint) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  for (const BootBlock& a : plan.blocks) {
    for (const BootBlock& b : plan.blocks) {
      EXPECT_TRUE(&a == &b || a.end() <= b.address || b.end() <= a.address);
    }
  }
}

TEST_F(LinuxPlan, SetupHeaderIsCopied) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  EXPECT_EQ(ZeroPage<uint16_t>(plan, 0x1fe), 0xaa55);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x202), 0x53726448u);
  EXPECT_EQ(ZeroPage<uint16_t>(plan, 0x206), 0x020f);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x230), 0x200000u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x258), 0x1000000u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x260), 0x800000u);
}

TEST_F(LinuxPlan, WhatLiesBehindTheSetupHeaderIsNotCopied) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const BootPlan plan,
      Plan(BzImage(BzImageBuilder().Set<uint32_t>(0x26c, 0x12345678).Set<uint8_t>(0x1ef, 0xff))));

  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x26c), 0u);
  EXPECT_EQ(ZeroPage<uint8_t>(plan, 0x1ef), 0u) << "the sentinel";
}

TEST_F(LinuxPlan, LoaderSaysWhatItIsAndWhatItDid) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  EXPECT_EQ(ZeroPage<uint8_t>(plan, 0x210), 0xff) << "type_of_loader";
  EXPECT_EQ(ZeroPage<uint8_t>(plan, 0x211), 0x01) << "LOADED_HIGH without CAN_USE_HEAP";
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x214), 0x1000000u) << "code32_start";
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x228), 0x8000u) << "cmd_line_ptr";
}

TEST_F(LinuxPlan, VmlinuxGetsAHeaderOfOurs) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(Vmlinux()));

  EXPECT_EQ(plan.start.entry, GuestAddress(0x1000070));
  EXPECT_EQ(plan.start.mode, StartMode::kLong64Ring0);
  EXPECT_EQ(ZeroPage<uint16_t>(plan, 0x1fe), 0xaa55);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x202), 0x53726448u);
  EXPECT_EQ(ZeroPage<uint16_t>(plan, 0x206), 0x020f);
  EXPECT_EQ(ZeroPage<uint8_t>(plan, 0x210), 0xff);
  EXPECT_EQ(ZeroPage<uint8_t>(plan, 0x211), 0x01);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x214), 0x1000000u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x228), 0x8000u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x22c), 0x7fffffffu);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x230), 0x1000000u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x238), 2047u);
}

TEST_F(LinuxPlan, MemoryMapIsTheMachines) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  ASSERT_EQ(ZeroPage<uint8_t>(plan, 0x1e8), 3u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x2d0), 0u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x2d8), 0xa0000u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x2e0), 1u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x2e4), 0xe0000u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x2ec), 0x20000u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x2f4), 2u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x2f8), 0x100000u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x300), 0x3f00000u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x308), 1u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x30c), 0u);
}

TEST_F(LinuxPlan, MemoryAboveTheHoleIsInTheMap) {
  layout_ = *GuestLayout::Create(5 * kGiB, 46);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  ASSERT_EQ(ZeroPage<uint8_t>(plan, 0x1e8), 4u);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x30c), 4 * kGiB);
  EXPECT_EQ(ZeroPage<uint64_t>(plan, 0x314), 2 * kGiB);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x31c), 1u);
}

TEST_F(LinuxPlan, RsdpIsNamedIfThereIsAcpi) {
  facts_.firmware_tables = true;
  EXPECT_EQ(ZeroPage<uint64_t>(*Plan(BzImage()), 0x070), 0xe0000u);
  facts_.firmware_tables = false;
  EXPECT_EQ(ZeroPage<uint64_t>(*Plan(BzImage()), 0x070), 0u);
}

TEST_F(LinuxPlan, InitrdIsNamed) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(WithInitrd(BzImage(), 0x1234)));

  EXPECT_THAT(plan.modules, ElementsAre(GuestAddress(64 * kMiB - 0x2000)));
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x218), 64 * kMiB - 0x2000);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x21c), 0x1234u);
}

TEST_F(LinuxPlan, WithoutAnInitrdNoneIsNamed) {
  // What the file has there is not the kernel's to say.
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const BootPlan plan,
      Plan(BzImage(BzImageBuilder().Set<uint32_t>(0x218, 0x1234).Set<uint32_t>(0x21c, 0x5678))));

  EXPECT_THAT(plan.modules, IsEmpty());
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x218), 0u);
  EXPECT_EQ(ZeroPage<uint32_t>(plan, 0x21c), 0u);
}

TEST_F(LinuxPlan, InitrdThatHasNoRoomIsRefused) {
  EXPECT_THAT(Plan(WithInitrd(BzImage(), 64 * kMiB)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the module initrd")));
}

TEST_F(LinuxPlan, CommandLineEndsWithAZero) {
  GuestImage image = BzImage();
  image.command_line = "console=ttyS0";
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(image));

  EXPECT_EQ(CommandLine(plan), std::string("console=ttyS0\0", 14));
}

TEST_F(LinuxPlan, CommandLineIsThereThoughEmpty) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, Plan(BzImage()));

  EXPECT_EQ(CommandLine(plan), std::string(1, '\0'));
}

TEST_F(LinuxPlan, CommandLineMayBeAsLongAsTheKernelSays) {
  GuestImage image = BzImage(BzImageBuilder().Set<uint32_t>(0x238, 255));
  image.command_line = std::string(255, 'x');
  EXPECT_THAT(Plan(image), IsOk());
  image.command_line = std::string(256, 'x');
  EXPECT_THAT(Plan(image), StatusIs(absl::StatusCode::kInvalidArgument,
                                    AllOf(HasSubstr("vmlinuz: "), HasSubstr("256 bytes"),
                                          HasSubstr("255 at most"))));
}

TEST_F(LinuxPlan, CommandLineOfVmlinuxMayHave2047Bytes) {
  GuestImage image = Vmlinux();
  image.command_line = std::string(2047, 'x');
  EXPECT_THAT(Plan(image), IsOk());
  image.command_line = std::string(2048, 'x');
  EXPECT_THAT(Plan(image), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2047 at most")));
}

TEST_F(LinuxPlan, CommandLineHasNoMoreThanAPage) {
  GuestImage image = BzImage(BzImageBuilder().Set<uint32_t>(0x238, UINT32_MAX));
  image.command_line = std::string(4095, 'x');
  EXPECT_THAT(Plan(image), IsOk());
  image.command_line = std::string(4096, 'x');
  EXPECT_THAT(Plan(image), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4095 at most")));
}

TEST_F(LinuxPlan, DevicesAreOnTheCommandLineIfAskedFor) {
  const std::vector<BootInfoDevice> devices = {
      {.kind = DeviceKind::kVirtioMmio, .irq = 5, .base = 0xd0000000, .size = 0x1000},
      {.kind = DeviceKind::kDmaEngine, .irq = 0, .base = 0xd0001000, .size = 0x1000},
      {.kind = DeviceKind::kVirtioMmio, .irq = 10, .base = 0xd0002000, .size = 0x1000}};
  facts_.devices = devices;
  GuestImage image = BzImage();
  image.command_line = "quiet";

  EXPECT_EQ(CommandLine(*Plan(image)), std::string("quiet\0", 6)) << "not asked for";
  facts_.devices_on_command_line = true;
  EXPECT_STREQ(CommandLine(*Plan(image)).c_str(),
               "quiet virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0002000:10");
}

TEST_F(LinuxPlan, DevicesCountForTheLengthOfTheCommandLine) {
  const std::vector<BootInfoDevice> devices = {
      {.kind = DeviceKind::kVirtioMmio, .irq = 5, .base = 0xd0000000, .size = 0x1000}};
  facts_.devices = devices;
  facts_.devices_on_command_line = true;
  GuestImage image = BzImage(BzImageBuilder().Set<uint32_t>(0x238, 255));
  image.command_line = std::string(230, 'x');

  EXPECT_THAT(Plan(image), StatusIs(absl::StatusCode::kInvalidArgument,
                                    AllOf(HasSubstr("265 bytes"), HasSubstr("255 at most"))));
}

}  // namespace
}  // namespace vmwire
