#include "devices/pc/keyboard_controller.h"

#include <gtest/gtest.h>

#include "tests/devices/pc/pc_device_fixture.h"

namespace vmwire {
namespace {

class KeyboardControllerTest : public testing::Test {
 protected:
  void Command(uint8_t value) { WriteValue(keyboard_, KeyboardController::kCommandOffset, value); }
  void Data(uint8_t value) { WriteValue(keyboard_, KeyboardController::kDataOffset, value); }
  uint8_t Status() { return ReadValue<uint8_t>(keyboard_, KeyboardController::kCommandOffset); }
  uint8_t Take() { return ReadValue<uint8_t>(keyboard_, KeyboardController::kDataOffset); }
  bool HasAnswer() { return (Status() & 0x01) != 0; }

  ExitLatch latch_;
  KeyboardController keyboard_{latch_};
};

TEST_F(KeyboardControllerTest, IsReadyAndEmptyAtFirst) { EXPECT_EQ(Status(), 0x14); }

TEST_F(KeyboardControllerTest, SelfTestPasses) {
  Command(0xaa);
  EXPECT_EQ(Status(), 0x1d);

  EXPECT_EQ(Take(), 0x55);

  EXPECT_FALSE(HasAnswer());
}

TEST_F(KeyboardControllerTest, CommandByteReadsBackAndFollowsEnables) {
  Command(0x60);
  Data(0x61);
  Command(0x20);
  EXPECT_EQ(Take(), 0x61);
  Command(0xad);
  Command(0xa7);
  Command(0x20);
  EXPECT_EQ(Take(), 0x71);
  Command(0xae);
  Command(0xa8);
  Command(0x20);

  EXPECT_EQ(Take(), 0x41);
}

TEST_F(KeyboardControllerTest, SystemBitOfTheStatusIsThatOfTheCommandByte) {
  Command(0x60);
  Data(0x00);
  EXPECT_EQ(Status() & 0x04, 0);
  Command(0xaa);
  EXPECT_EQ(Status() & 0x04, 0x04);
}

TEST_F(KeyboardControllerTest, ByteForTheKeyboardTimesOut) {
  for (const uint8_t byte : std::array<uint8_t, 4>{0xf2, 0xed, 0xff, 0xf4}) {
    Data(byte);
    EXPECT_EQ(Status() & 0x61, 0x41);
    EXPECT_EQ(Take(), 0xfe);
    EXPECT_EQ(Status() & 0x61, 0x00);
  }
}

TEST_F(KeyboardControllerTest, ByteForTheMouseTimesOut) {
  Command(0xd4);
  Data(0xf2);

  EXPECT_EQ(Status() & 0x61, 0x61);
  EXPECT_EQ(Take(), 0xfe);
}

// i8042_controller_check() to i8042_check_aux() of Linux, drivers/input/serio/i8042.c: each answer
// is there when it is looked for, so that nothing waits for a time-out.
TEST_F(KeyboardControllerTest, LinuxProbeFindsAControllerAndNoMouse) {
  ASSERT_FALSE(HasAnswer()) << "nothing to flush";
  Command(0xaa);
  ASSERT_TRUE(HasAnswer());
  ASSERT_EQ(Take(), 0x55);
  Command(0x20);
  ASSERT_TRUE(HasAnswer());
  const uint8_t control = Take();
  EXPECT_EQ(Status() & 0x10, 0x10) << "the keyboard is locked";
  EXPECT_EQ(control & 0x40, 0x40) << "no translation: taken for a controller of another kind";
  Command(0x60);
  Data(static_cast<uint8_t>((control | 0x10) & ~0x01));

  Command(0xd3);
  Data(0x5a);
  ASSERT_TRUE(HasAnswer());
  EXPECT_EQ(Status() & 0x20, 0) << "the loop goes through a mouse port";
  EXPECT_EQ(Take(), 0x5a);
  Command(0xa9);
  ASSERT_TRUE(HasAnswer());
  const uint8_t mouse_test = Take();
  EXPECT_TRUE(mouse_test != 0 && mouse_test != 0xfa && mouse_test != 0xff);
  Command(0xab);
  EXPECT_EQ(Take(), 0x00);
}

TEST_F(KeyboardControllerTest, A20IsAlwaysOpen) {
  Command(0xd1);
  Data(0x01);
  Command(0xd0);

  EXPECT_EQ(Take(), 0x03);
  EXPECT_EQ(latch_.request(), std::nullopt);
}

TEST_F(KeyboardControllerTest, PulseOfTheResetLineResets) {
  Command(0xff);
  EXPECT_EQ(latch_.request(), std::nullopt) << "a pulse of no line";
  Command(0xfe);

  EXPECT_THAT(latch_.request(), Requests(ExitRequest::Kind::kReset));
}

TEST_F(KeyboardControllerTest, OutputPortWithTheResetLineLowResets) {
  Command(0xd1);
  Data(0x02);

  EXPECT_THAT(latch_.request(), Requests(ExitRequest::Kind::kReset));
}

TEST_F(KeyboardControllerTest, ArgumentIsOfTheLastCommandOnly) {
  Command(0xd1);
  Command(0xae);
  Data(0x00);

  EXPECT_EQ(latch_.request(), std::nullopt);
  EXPECT_EQ(Take(), 0xfe) << "it went to the keyboard";
}

TEST_F(KeyboardControllerTest, LivesThroughRandomAccesses) { Torment(keyboard_, 5); }

}  // namespace
}  // namespace vmwire
