#include "devices/pc/test_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/devices/pc/pc_device_fixture.h"
#include "tests/fakes/recording_pins.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::Pair;

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

TEST(TestInterruptsTest, ByteSetsTheLevelOfItsPin) {
  RecordingPins pins;
  TestInterrupts device(pins);

  WriteValue<uint8_t>(device, 4, 1);
  WriteValue<uint8_t>(device, 4, 0);

  EXPECT_THAT(pins.changes(), ElementsAre(Pair(4, true), Pair(4, false)));
  EXPECT_EQ(ReadValue<uint8_t>(device, 4), 0xff);
}

TEST(TestInterruptsTest, WideWriteSetsAPinAByte) {
  RecordingPins pins;
  TestInterrupts device(pins);

  WriteValue<uint16_t>(device, 22, 0x0100);

  EXPECT_THAT(pins.changes(), ElementsAre(Pair(22, false), Pair(23, true)));
}

TEST(TestInterruptsTest, NoAccessReachesAPinThatIsNotThere) {
  RecordingPins pins;
  TestInterrupts device(pins);

  Torment(device, TestInterrupts::kWindowSize);

  for (const auto& [pin, high] : pins.changes()) ASSERT_LT(pin, InterruptPins::kCount);
}

TEST(TestMemoryTest, ReadsZeroUntilItIsWrittenAndThenWhatWasWritten) {
  TestMemory device;
  EXPECT_EQ(ReadValue<uint64_t>(device, 0x1000), 0u);

  WriteValue<uint32_t>(device, 0x1002, 0x12345678);

  EXPECT_EQ(ReadValue<uint64_t>(device, 0x1000), 0x0000123456780000u);
}

TEST(TestMemoryTest, LivesThroughRandomAccesses) {
  TestMemory device;
  Torment(device, TestMemory::kWindowSize);
}

}  // namespace
}  // namespace vmwire
