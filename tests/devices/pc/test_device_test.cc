#include "devices/pc/test_device.h"

#include <gtest/gtest.h>

#include "tests/devices/pc/pc_device_fixture.h"

namespace vmwire {
namespace {

TEST(TestDeviceTest, ScratchReadsBackInEverySize) {
  TestDevice device;
  WriteValue<uint32_t>(device, 0, 0x12345678);
  EXPECT_EQ(ReadValue<uint32_t>(device, 0), 0x12345678u);
  EXPECT_EQ(ReadValue<uint16_t>(device, 2), 0x1234);
  EXPECT_EQ(ReadValue<uint8_t>(device, 1), 0x56);

  WriteValue<uint8_t>(device, 1, 0xaa);
  WriteValue<uint16_t>(device, 2, 0xbbcc);

  EXPECT_EQ(ReadValue<uint32_t>(device, 0), 0xbbccaa78u);
  EXPECT_EQ(ReadValue<uint32_t>(device, 8), 0xbbccaa78u) << "the second place of the same bytes";
}

TEST(TestDeviceTest, FlushChangesNothing) {
  TestDevice device;
  WriteValue<uint32_t>(device, 0, 0x12345678);

  WriteValue<uint32_t>(device, 4, 0xfee1dead);

  EXPECT_EQ(ReadValue<uint32_t>(device, 4), 0xffffffffu);
  EXPECT_EQ(ReadValue<uint32_t>(device, 0), 0x12345678u);
}

TEST(TestDeviceTest, LivesThroughRandomAccesses) {
  TestDevice device;
  Torment(device, TestDevice::kWindowSize);
}

}  // namespace
}  // namespace vmwire
