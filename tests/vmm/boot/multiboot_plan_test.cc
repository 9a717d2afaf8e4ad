#include "vmm/boot/multiboot_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/plan_view.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kInfo = 0x9000;

GuestImage Kernel(ImageFormat format) {
  GuestImage image;
  image.path = "/boot/kernel.elf";
  image.format = format;
  image.start = StartMode::kProtected32;
  image.entry = GuestAddress(0x10000c);
  image.segments = {{.address = GuestAddress(0x100000), .memory_size = 0x5000}};
  return image;
}

ImageModule Module(size_t size, const std::string& command_line) {
  return {.path = "module", .command_line = command_line, .bytes = std::vector<std::byte>(size)};
}

class MultibootPlan : public ::testing::Test {
 protected:
  GuestLayout layout_ = *GuestLayout::Create(64 * kMiB, 46);
  MachineFacts facts_{.layout = layout_};
};

class Multiboot1Plan : public MultibootPlan {
 protected:
  GuestImage image_ = Kernel(ImageFormat::kMultiboot1);
};

TEST_F(Multiboot1Plan, EntersWithMagicAndInformation) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  EXPECT_EQ(plan.start.mode, StartMode::kProtected32);
  EXPECT_EQ(plan.start.entry, GuestAddress(0x10000c));
  EXPECT_EQ(plan.start.segments, StartSegments::kFlat);
  EXPECT_EQ(plan.start.rax, 0x2badb002u);
  EXPECT_EQ(plan.start.rbx, kInfo);
  EXPECT_NE(PlanView(plan).BlockAt(0x1000), nullptr) << "the GDT";
}

TEST_F(Multiboot1Plan, FlagsSayWhatIsGiven) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  EXPECT_EQ(PlanView(plan).Word(kInfo), 1u << 0 | 1u << 2 | 1u << 3 | 1u << 6 | 1u << 9);
}

TEST_F(Multiboot1Plan, MemoryIsInKiBBelowAndAboveOneMiB) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  EXPECT_EQ(PlanView(plan).Word(kInfo + 4), 640u);
  EXPECT_EQ(PlanView(plan).Word(kInfo + 8), 63u * 1024);
}

TEST_F(Multiboot1Plan, MemoryAboveTheHoleIsNotInTheUpperMemory) {
  const GuestLayout layout = *GuestLayout::Create(5 * kGiB, 46);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, {.layout = layout}));
  EXPECT_EQ(PlanView(plan).Word(kInfo + 8), (3u << 20) - 1024);
}

TEST_F(Multiboot1Plan, CommandLineBeginsWithTheFileName) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  const PlanView view(plan);
  EXPECT_EQ(view.TextAt(view.Word(kInfo + 16)), "kernel.elf");

  image_.command_line = "test=1 verbose";
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan with_text, PlanMultiboot1(image_, facts_));
  EXPECT_EQ(PlanView(with_text).TextAt(PlanView(with_text).Word(kInfo + 16)),
            "kernel.elf test=1 verbose");
}

TEST_F(Multiboot1Plan, ModulesAreListedInTheirOrder) {
  image_.modules = {Module(5000, "first one"), Module(1, "")};
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  const PlanView view(plan);

  ASSERT_EQ(view.Word(kInfo + 20), 2u);
  const uint64_t list = view.Word(kInfo + 24);
  EXPECT_EQ(list % 4, 0u);
  EXPECT_EQ(view.Word(list), plan.modules[0].value());
  EXPECT_EQ(view.Word(list + 4), plan.modules[0].value() + 5000);
  EXPECT_EQ(view.TextAt(view.Word(list + 8)), "first one");
  EXPECT_EQ(view.Word(list + 16), plan.modules[1].value());
  EXPECT_EQ(view.Word(list + 20), plan.modules[1].value() + 1);
  EXPECT_EQ(view.TextAt(view.Word(list + 24)), "");
  EXPECT_EQ(plan.modules[0].value() % 4096, 0u);
}

TEST_F(Multiboot1Plan, MemoryMapEntriesHaveTheirSizeBeforeThem) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  const PlanView view(plan);

  ASSERT_EQ(view.Word(kInfo + 44), 3u * 24);
  const uint64_t map = view.Word(kInfo + 48);
  const uint64_t last = map + 48;
  EXPECT_EQ(view.Word(map), 20u);
  EXPECT_EQ(view.At<uint64_t>(map + 4), 0u);
  EXPECT_EQ(view.At<uint64_t>(map + 12), 0xa0000u);
  EXPECT_EQ(view.Word(map + 20), 1u);
  EXPECT_EQ(view.Word(map + 24 + 20), 2u) << "the firmware is reserved";
  EXPECT_EQ(view.Word(last), 20u);
  EXPECT_EQ(view.At<uint64_t>(last + 4), 0x100000u);
  EXPECT_EQ(view.At<uint64_t>(last + 12), 63 * kMiB);
  EXPECT_EQ(view.Word(last + 20), 1u);
}

TEST_F(Multiboot1Plan, BootLoaderHasAName) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  EXPECT_EQ(PlanView(plan).TextAt(PlanView(plan).Word(kInfo + 64)), "vmwire");
}

TEST_F(Multiboot1Plan, WhatIsNotGivenIsZero) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot1(image_, facts_));
  for (const uint32_t offset :
       {12u, 28u, 32u, 36u, 40u, 52u, 56u, 60u, 68u, 72u, 76u, 80u, 84u, 88u, 112u}) {
    EXPECT_EQ(PlanView(plan).Word(kInfo + offset), 0u) << offset;
  }
}

TEST_F(Multiboot1Plan, RefusesACommandLineThatIsTooLong) {
  image_.command_line = std::string(4095 - std::string("kernel.elf ").size(), 'x');
  EXPECT_THAT(PlanMultiboot1(image_, facts_), IsOk());
  image_.command_line += 'x';
  EXPECT_THAT(PlanMultiboot1(image_, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("takes 4095 at most")));
}

TEST_F(Multiboot1Plan, RefusesModulesWhoseTextHasNoRoom) {
  image_.modules.assign(4, Module(1, std::string(8000, 'x')));
  EXPECT_THAT(PlanMultiboot1(image_, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there is room for 28672")));
}

TEST_F(Multiboot1Plan, RefusesMoreModulesThanTheListHasRoomFor) {
  image_.modules.assign(2000, Module(1, ""));
  EXPECT_THAT(PlanMultiboot1(image_, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("give fewer modules")));
}

class Multiboot2Plan : public MultibootPlan {
 protected:
  // Where the tags of each type lie, in the order of the list, which is walked as the specification
  // says.
  static std::map<uint32_t, std::vector<uint64_t>> TagsOf(const BootPlan& plan) {
    const PlanView view(plan);
    std::map<uint32_t, std::vector<uint64_t>> tags;
    const uint64_t end = kInfo + view.Word(kInfo);
    EXPECT_EQ(view.Word(kInfo + 4), 0u);
    uint64_t tag = kInfo + 8;
    while (tag < end && view.Word(tag) != 0) {
      tags[view.Word(tag)].push_back(tag);
      EXPECT_GE(view.Word(tag + 4), 8u);
      tag = (tag + view.Word(tag + 4) + 7) / 8 * 8;
    }
    EXPECT_EQ(tag + 8, end) << "the end tag is the last";
    EXPECT_EQ(view.Word(tag + 4), 8u);
    return tags;
  }

  GuestImage image_ = Kernel(ImageFormat::kMultiboot2);
};

TEST_F(Multiboot2Plan, EntersWithMagicAndInformation) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot2(image_, facts_));
  EXPECT_EQ(plan.start.mode, StartMode::kProtected32);
  EXPECT_EQ(plan.start.segments, StartSegments::kFlat);
  EXPECT_EQ(plan.start.rax, 0x36d76289u);
  EXPECT_EQ(plan.start.rbx, kInfo);
}

TEST_F(Multiboot2Plan, TellsCommandLineAndLoader) {
  image_.command_line = "a=b";
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot2(image_, facts_));
  auto tags = TagsOf(plan);
  ASSERT_EQ(tags[1].size(), 1u);
  EXPECT_EQ(PlanView(plan).TextAt(tags[1][0] + 8), "kernel.elf a=b");
  EXPECT_EQ(PlanView(plan).Word(tags[1][0] + 4), 8u + 15);
  ASSERT_EQ(tags[2].size(), 1u);
  EXPECT_EQ(PlanView(plan).TextAt(tags[2][0] + 8), "vmwire");
}

TEST_F(Multiboot2Plan, TellsEachModule) {
  image_.modules = {Module(5000, "first"), Module(10, "second")};
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot2(image_, facts_));
  const PlanView view(plan);
  const std::vector<uint64_t> tags = TagsOf(plan)[3];
  ASSERT_EQ(tags.size(), 2u);
  EXPECT_EQ(view.Word(tags[0] + 8), plan.modules[0].value());
  EXPECT_EQ(view.Word(tags[0] + 12), plan.modules[0].value() + 5000);
  EXPECT_EQ(view.TextAt(tags[0] + 16), "first");
  EXPECT_EQ(view.Word(tags[1] + 12), plan.modules[1].value() + 10);
  EXPECT_EQ(view.TextAt(tags[1] + 16), "second");
}

TEST_F(Multiboot2Plan, TellsMemory) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot2(image_, facts_));
  const PlanView view(plan);
  auto tags = TagsOf(plan);
  ASSERT_EQ(tags[4].size(), 1u);
  EXPECT_EQ(view.Word(tags[4][0] + 8), 640u);
  EXPECT_EQ(view.Word(tags[4][0] + 12), 63u * 1024);
  ASSERT_EQ(tags[6].size(), 1u);
  const uint64_t map = tags[6][0];
  EXPECT_EQ(view.Word(map + 4), 16u + 3 * 24);
  EXPECT_EQ(view.Word(map + 8), 24u);
  EXPECT_EQ(view.Word(map + 12), 0u);
  const uint64_t last = map + 16 + 48;
  EXPECT_EQ(view.At<uint64_t>(last), 0x100000u);
  EXPECT_EQ(view.At<uint64_t>(last + 8), 63 * kMiB);
  EXPECT_EQ(view.Word(last + 16), 1u);
  EXPECT_EQ(view.Word(last + 20), 0u);
}

TEST_F(Multiboot2Plan, CopiesTheRsdpInBothForms) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot2(image_, facts_));
  const PlanView view(plan);
  auto tags = TagsOf(plan);
  ASSERT_EQ(tags[14].size(), 1u);
  EXPECT_EQ(view.Word(tags[14][0] + 4), 8u + 20);
  EXPECT_EQ(view.At<uint64_t>(tags[14][0] + 8), 0x2052545020445352u) << "\"RSD PTR \"";
  ASSERT_EQ(tags[15].size(), 1u);
  EXPECT_EQ(view.Word(tags[15][0] + 4), 8u + 36);
  uint8_t sum = 0;
  for (uint64_t i = 0; i < 36; ++i) {
    sum = static_cast<uint8_t>(sum + view.At<uint8_t>(tags[15][0] + 8 + i));
  }
  EXPECT_EQ(sum, 0);
}

TEST_F(Multiboot2Plan, HasNoRsdpWithoutAcpi) {
  facts_.firmware_tables = false;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanMultiboot2(image_, facts_));
  auto tags = TagsOf(plan);
  EXPECT_TRUE(tags[14].empty());
  EXPECT_TRUE(tags[15].empty());
}

TEST_F(Multiboot2Plan, RefusesWhatIsTooLong) {
  image_.command_line = std::string(4096, 'x');
  EXPECT_THAT(PlanMultiboot2(image_, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("takes 4095 at most")));
  image_.command_line = "";
  image_.modules.assign(4, Module(1, std::string(8000, 'x')));
  EXPECT_THAT(PlanMultiboot2(image_, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there is room for 28672")));
}

}  // namespace
}  // namespace vmwire
