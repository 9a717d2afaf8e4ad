#include "devices/pc/acpi_pm.h"

#include <gtest/gtest.h>

#include "tests/devices/pc/pc_device_fixture.h"

namespace vmwire {
namespace {

class AcpiPmTest : public testing::Test {
 protected:
  uint32_t TimerAt(uint64_t nanoseconds) {
    now_ = nanoseconds;
    return ReadValue<uint32_t>(pm_, AcpiPm::kTimerOffset);
  }

  ExitLatch latch_;
  uint64_t now_ = 0;
  uint64_t step_ = 0;  // How far the clock goes with each look at it.
  AcpiPm pm_{latch_, [this] { return now_ += step_; }};
};

TEST_F(AcpiPmTest, TimerRunsAtItsRateAndWrapsAt32Bits) {
  EXPECT_EQ(TimerAt(0), 0u);
  EXPECT_EQ(TimerAt(1'000'000'000), AcpiPm::kTimerHertz);
  EXPECT_EQ(TimerAt(500'000'000), AcpiPm::kTimerHertz / 2);
  EXPECT_EQ(TimerAt(1'200'000'000'000), static_cast<uint32_t>(1200 * AcpiPm::kTimerHertz));
  EXPECT_EQ(TimerAt(UINT64_MAX),
            static_cast<uint32_t>(18'446'744'073 * AcpiPm::kTimerHertz +
                                  709'551'615 * AcpiPm::kTimerHertz / 1'000'000'000));
}

TEST_F(AcpiPmTest, AllBytesOfOneReadAreOfOneMoment) {
  step_ = 1'000'000'000;
  const auto first = ReadValue<uint32_t>(pm_, AcpiPm::kTimerOffset);
  const auto second = ReadValue<uint32_t>(pm_, AcpiPm::kTimerOffset);

  EXPECT_EQ(first, AcpiPm::kTimerHertz);
  EXPECT_EQ(second, 2 * AcpiPm::kTimerHertz);
}

TEST_F(AcpiPmTest, IsInAcpiModeWithoutEventsAndEnablesReadBack) {
  EXPECT_EQ(ReadValue<uint16_t>(pm_, AcpiPm::kControlOffset), 0x0001);
  EXPECT_EQ(ReadValue<uint16_t>(pm_, AcpiPm::kStatusOffset), 0x0000);

  WriteValue<uint16_t>(pm_, AcpiPm::kEnableOffset, 0x0120);
  WriteValue<uint16_t>(pm_, AcpiPm::kStatusOffset, 0xffff);
  WriteValue<uint16_t>(pm_, AcpiPm::kControlOffset, 0x0002);

  EXPECT_EQ(ReadValue<uint16_t>(pm_, AcpiPm::kEnableOffset), 0x0120);
  EXPECT_EQ(ReadValue<uint16_t>(pm_, AcpiPm::kStatusOffset), 0x0000);
  EXPECT_EQ(ReadValue<uint16_t>(pm_, AcpiPm::kControlOffset), 0x0003);
  EXPECT_EQ(ReadValue<uint16_t>(pm_, 6), 0xffff) << "between the registers";
}

// ACPICA writes the type first, then the same with SLP_EN.
TEST_F(AcpiPmTest, SoftOffTypeWithSleepEnableSwitchesOff) {
  WriteValue<uint16_t>(pm_, AcpiPm::kControlOffset, 5 << 10 | 1);
  EXPECT_EQ(latch_.request(), std::nullopt);
  EXPECT_EQ(ReadValue<uint16_t>(pm_, AcpiPm::kControlOffset), 5 << 10 | 1);

  WriteValue<uint16_t>(pm_, AcpiPm::kControlOffset, 1 << 13 | 5 << 10 | 1);

  EXPECT_THAT(latch_.request(), Requests(ExitRequest::Kind::kPowerOff));
  EXPECT_EQ(pm_.ignored_sleeps(), 0u);
  EXPECT_EQ(ReadValue<uint16_t>(pm_, AcpiPm::kControlOffset), 5 << 10 | 1)
      << "SLP_EN is write-only";
}

TEST_F(AcpiPmTest, TypeZeroAndAWriteOfTheHighByteSwitchOffToo) {
  WriteValue<uint8_t>(pm_, AcpiPm::kControlOffset + 1, 0x20);

  EXPECT_THAT(latch_.request(), Requests(ExitRequest::Kind::kPowerOff));
}

TEST_F(AcpiPmTest, OtherSleepTypesAreCountedAndIgnored) {
  for (const int type : {1, 2, 3, 4, 6, 7}) {
    WriteValue<uint16_t>(pm_, AcpiPm::kControlOffset, static_cast<uint16_t>(1 << 13 | type << 10));
  }

  EXPECT_EQ(latch_.request(), std::nullopt);
  EXPECT_EQ(pm_.ignored_sleeps(), 6u);
}

TEST_F(AcpiPmTest, LivesThroughRandomAccesses) { Torment(pm_, AcpiPm::kWindowSize); }

}  // namespace
}  // namespace vmwire
