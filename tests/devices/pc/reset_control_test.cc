#include "devices/pc/reset_control.h"

#include <gtest/gtest.h>

#include "tests/devices/pc/pc_device_fixture.h"

namespace vmwire {
namespace {

// As Linux does it (native_machine_emergency_restart, BOOT_CF9_FORCE).
TEST(ResetControlTest, SecondWriteResets) {
  ExitLatch latch;
  ResetControl control(latch);
  EXPECT_EQ(ReadValue<uint8_t>(control, 0), 0x00);
  WriteValue<uint8_t>(control, 0, 0x02);
  EXPECT_EQ(latch.request(), std::nullopt);
  EXPECT_EQ(ReadValue<uint8_t>(control, 0), 0x02);

  WriteValue<uint8_t>(control, 0, 0x06);

  EXPECT_THAT(latch.request(), Requests(ExitRequest::Kind::kReset));
}

TEST(ResetControlTest, ResetOfTheProcessorAloneIsOneToo) {
  ExitLatch latch;
  ResetControl control(latch);

  WriteValue<uint8_t>(control, 0, 0x04);

  EXPECT_THAT(latch.request(), Requests(ExitRequest::Kind::kReset));
}

TEST(SystemControlATest, A20IsAlwaysOpenAndBitZeroResets) {
  ExitLatch latch;
  SystemControlA control(latch);
  WriteValue<uint8_t>(control, 0, 0x00);
  EXPECT_EQ(ReadValue<uint8_t>(control, 0), 0x02);
  WriteValue<uint8_t>(control, 0, 0xfe);
  EXPECT_EQ(latch.request(), std::nullopt);

  WriteValue<uint8_t>(control, 0, 0x03);

  EXPECT_THAT(latch.request(), Requests(ExitRequest::Kind::kReset));
}

}  // namespace
}  // namespace vmwire
