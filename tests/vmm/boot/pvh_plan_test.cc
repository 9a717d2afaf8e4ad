#include "vmm/boot/pvh_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/vmm/boot/plan_view.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kInfo = 0x9000;

class PvhPlan : public ::testing::Test {
 protected:
  PvhPlan() {
    image_.path = "vmlinux";
    image_.format = ImageFormat::kPvh;
    image_.start = StartMode::kProtected32;
    image_.entry = GuestAddress(0x1000100);
    image_.segments = {{.address = GuestAddress(0x1000000), .memory_size = 8 * kMiB}};
    image_.linux_setup.command_line_size = UINT32_MAX;
  }

  GuestImage image_;
  GuestLayout layout_ = *GuestLayout::Create(64 * kMiB, 46);
  MachineFacts facts_{.layout = layout_};
};

TEST_F(PvhPlan, EntersWithTheStartInfo) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanPvh(image_, facts_));
  EXPECT_EQ(plan.start.mode, StartMode::kProtected32);
  EXPECT_EQ(plan.start.segments, StartSegments::kFlat);
  EXPECT_EQ(plan.start.entry, GuestAddress(0x1000100));
  EXPECT_EQ(plan.start.rbx, kInfo);
  const PlanView view(plan);
  EXPECT_EQ(view.Word(kInfo), 0x336ec578u);
  EXPECT_EQ(view.Word(kInfo + 4), 1u) << "version";
  EXPECT_EQ(view.Word(kInfo + 8), 0u) << "flags";
  EXPECT_EQ(view.Word(kInfo + 52), 0u) << "reserved";
  EXPECT_NE(view.BlockAt(0x1000), nullptr) << "the GDT";
}

TEST_F(PvhPlan, HasNoModulesWithoutAnInitrd) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanPvh(image_, facts_));
  EXPECT_EQ(PlanView(plan).Word(kInfo + 12), 0u);
  EXPECT_EQ(PlanView(plan).At<uint64_t>(kInfo + 16), 0u);
}

TEST_F(PvhPlan, InitrdIsTheFirstModule) {
  image_.modules = {{.path = "initrd", .command_line = "", .bytes = std::vector<std::byte>(5000)}};
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanPvh(image_, facts_));
  const PlanView view(plan);
  ASSERT_EQ(view.Word(kInfo + 12), 1u);
  const uint64_t list = view.At<uint64_t>(kInfo + 16);
  EXPECT_EQ(list % 8, 0u);
  ASSERT_EQ(plan.modules.size(), 1u);
  EXPECT_EQ(view.At<uint64_t>(list), plan.modules[0].value());
  EXPECT_EQ(view.At<uint64_t>(list + 8), 5000u);
  EXPECT_EQ(view.At<uint64_t>(list + 16), 0u) << "no command line";
  EXPECT_EQ(view.At<uint64_t>(list + 24), 0u) << "reserved";
}

TEST_F(PvhPlan, CommandLineIsTheTextAlone) {
  image_.command_line = "console=ttyS0";
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanPvh(image_, facts_));
  const PlanView view(plan);
  EXPECT_EQ(view.TextAt(view.At<uint64_t>(kInfo + 24)), "console=ttyS0");
}

TEST_F(PvhPlan, CommandLineNamesDevicesIfAsked) {
  const std::array<BootInfoDevice, 1> devices = {
      BootInfoDevice{DeviceKind::kVirtioMmio, 5, 0xd0000000, 0x1000}};
  facts_.devices = devices;
  facts_.devices_on_command_line = true;
  image_.command_line = "quiet";
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanPvh(image_, facts_));
  EXPECT_EQ(PlanView(plan).TextAt(0x8000), "quiet virtio_mmio.device=4K@0xd0000000:5");
}

TEST_F(PvhPlan, RsdpIsNamedOnlyWithAcpi) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanPvh(image_, facts_));
  EXPECT_EQ(PlanView(plan).At<uint64_t>(kInfo + 32), 0xe0000u);
  facts_.firmware_tables = false;
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan without, PlanPvh(image_, facts_));
  EXPECT_EQ(PlanView(without).At<uint64_t>(kInfo + 32), 0u);
}

TEST_F(PvhPlan, MemoryMapCoversMemoryAboveTheHole) {
  const GuestLayout layout = *GuestLayout::Create(5 * kGiB, 46);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const BootPlan plan, PlanPvh(image_, {.layout = layout}));
  const PlanView view(plan);
  ASSERT_EQ(view.Word(kInfo + 48), 4u);
  const uint64_t map = view.At<uint64_t>(kInfo + 40);
  EXPECT_EQ(view.At<uint64_t>(map + 8), 0xa0000u);
  EXPECT_EQ(view.Word(map + 16), 1u);
  EXPECT_EQ(view.Word(map + 20), 0u);
  EXPECT_EQ(view.At<uint64_t>(map + 3 * 24), 4 * kGiB);
  EXPECT_EQ(view.At<uint64_t>(map + 3 * 24 + 8), 2 * kGiB);
}

TEST_F(PvhPlan, RefusesACommandLineThatIsTooLong) {
  image_.command_line = std::string(4095, 'x');
  EXPECT_THAT(PlanPvh(image_, facts_), IsOk());
  image_.command_line += 'x';
  EXPECT_THAT(PlanPvh(image_, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4096 bytes")));
}

TEST_F(PvhPlan, RefusesACommandLineThatIsLongerThanTheKernelTakes) {
  image_.linux_setup.command_line_size = 2047;
  image_.command_line = std::string(2047, 'x');
  EXPECT_THAT(PlanPvh(image_, facts_), IsOk());
  image_.command_line += 'x';
  EXPECT_THAT(PlanPvh(image_, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2047 at most")));
}

}  // namespace
}  // namespace vmwire
