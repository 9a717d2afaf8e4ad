#include "vmm/boot/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kDevice[] = "virtio_mmio.device=4K@0xd0000000:5";

// A Linux that is told of its devices on the command line.
class LinuxCommandLineTest : public testing::Test {
 protected:
  std::string LineOf(const std::string& text) {
    GuestImage image;
    image.command_line = text;
    return LinuxCommandLine(
        image, {.layout = layout_, .devices = devices_, .devices_on_command_line = true});
  }

  GuestLayout layout_ = *GuestLayout::Create(64 * kMiB, 46);
  std::vector<BootInfoDevice> devices_ = {
      {.kind = DeviceKind::kVirtioMmio, .irq = 5, .base = 0xd0000000, .size = 0x1000}};
};

TEST_F(LinuxCommandLineTest, DevicesComeLast) {
  EXPECT_EQ(LineOf("quiet root=/dev/vda"), std::string("quiet root=/dev/vda ") + kDevice);
}

TEST_F(LinuxCommandLineTest, DevicesAreAllOfAnEmptyOne) { EXPECT_EQ(LineOf(""), kDevice); }

TEST_F(LinuxCommandLineTest, DevicesComeBeforeTheTextOfInit) {
  EXPECT_EQ(LineOf("quiet -- single -- x"), std::string("quiet ") + kDevice + " -- single -- x");
  EXPECT_EQ(LineOf("quiet\t--"), std::string("quiet\t") + kDevice + " --");
  EXPECT_EQ(LineOf("-- single"), std::string(kDevice) + " -- single");
}

TEST_F(LinuxCommandLineTest, TwoDashesWithMoreAreNotTheEnd) {
  for (const std::string text : {"--quiet", "a--", "--=b", "- -", "x=--"}) {
    EXPECT_EQ(LineOf(text), text + " " + kDevice);
  }
}

TEST_F(LinuxCommandLineTest, TwoDashesInsideOfQuotesAreNotTheEnd) {
  for (const std::string text : {"a=\"b -- c\" quiet", "\"a=b -- c\" quiet", "\"a -- \""}) {
    EXPECT_EQ(LineOf(text), text + " " + kDevice);
  }
  EXPECT_EQ(LineOf("a=\"b -- c\" -- d"), std::string("a=\"b -- c\" ") + kDevice + " -- d");
}

TEST_F(LinuxCommandLineTest, TwoDashesInQuotesOfTheirOwnAreTheEnd) {
  EXPECT_EQ(LineOf("quiet \"--\" single"), std::string("quiet ") + kDevice + " \"--\" single");
}

TEST_F(LinuxCommandLineTest, ADeviceWithoutInterruptIsLeftOut) {
  devices_.insert(devices_.begin(),
                  {.kind = DeviceKind::kVirtioMmio, .irq = 0, .base = 0xd0001000, .size = 0x1000});
  EXPECT_EQ(LineOf("quiet"), std::string("quiet ") + kDevice);
  devices_.resize(1);
  EXPECT_EQ(LineOf("quiet -- x"), "quiet -- x");
}

TEST(CheckCommandLineTest, TheSmallerLimitHolds) {
  EXPECT_THAT(CheckCommandLine("kernel", std::string(255, 'x'), 255), IsOk());
  EXPECT_THAT(CheckCommandLine("kernel", std::string(256, 'x'), 255),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("kernel: "), HasSubstr("256"), HasSubstr("255 at most"))));
  EXPECT_THAT(CheckCommandLine("kernel", std::string(4095, 'x'), UINT64_MAX), IsOk());
  EXPECT_THAT(CheckCommandLine("kernel", std::string(4096, 'x'), UINT64_MAX),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4095 at most")));
}

}  // namespace
}  // namespace vmwire
