#include "devices/pc/cmos_rtc.h"

#include <gtest/gtest.h>

#include "tests/devices/pc/pc_device_fixture.h"

namespace vmwire {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint8_t kSet24HoursBcd = 0x82;
constexpr uint8_t k24HoursBcd = 0x02;

// Monday, 2024-02-26 13:14:15.
constexpr RtcTime kStart = {
    .second = 15, .minute = 14, .hour = 13, .weekday = 2, .day = 26, .month = 2, .year = 2024};

class CmosRtcTest : public testing::Test {
 protected:
  uint8_t Get(uint8_t cell) {
    WriteValue<uint8_t>(*cmos_, CmosRtc::kIndexOffset, cell);
    return ReadValue<uint8_t>(*cmos_, CmosRtc::kDataOffset);
  }
  void Put(uint8_t cell, uint8_t value) {
    WriteValue<uint8_t>(*cmos_, CmosRtc::kIndexOffset, cell);
    WriteValue<uint8_t>(*cmos_, CmosRtc::kDataOffset, value);
  }
  uint32_t Number(uint8_t cell, int bytes) {
    uint32_t value = 0;
    for (int i = bytes - 1; i >= 0; --i) value = value << 8 | Get(static_cast<uint8_t>(cell + i));
    return value;
  }
  void Make(PcMemorySizes memory) {
    cmos_.emplace(memory, [this] { return now_; });
  }

  int64_t now_ = ToUnixSeconds(kStart) * kSecond;
  std::optional<CmosRtc> cmos_{std::in_place, PcMemorySizes{}, [this] { return now_; }};
};

TEST_F(CmosRtcTest, TimeIsInDecimalAnd24HoursAtFirst) {
  EXPECT_EQ(Get(0x0b), k24HoursBcd);
  EXPECT_EQ(Get(0x00), 0x15);
  EXPECT_EQ(Get(0x02), 0x14);
  EXPECT_EQ(Get(0x04), 0x13);
  EXPECT_EQ(Get(0x06), 0x02);
  EXPECT_EQ(Get(0x07), 0x26);
  EXPECT_EQ(Get(0x08), 0x02);
  EXPECT_EQ(Get(0x09), 0x24);
  EXPECT_EQ(Get(0x32), 0x20);
}

TEST_F(CmosRtcTest, TimeFollowsTheClock) {
  now_ += 50 * kSecond;

  EXPECT_EQ(Get(0x00), 0x05);
  EXPECT_EQ(Get(0x02), 0x15);
}

TEST_F(CmosRtcTest, StatusBChoosesBinaryAndTwelveHours) {
  Put(0x0b, 0x06);
  EXPECT_EQ(Get(0x04), 13);
  EXPECT_EQ(Get(0x09), 24);
  EXPECT_EQ(Get(0x32), 20);

  Put(0x0b, 0x00);
  EXPECT_EQ(Get(0x04), 0x81) << "one in the afternoon";
  now_ -= kSecond * 3600;
  EXPECT_EQ(Get(0x04), 0x92) << "noon";
  now_ -= kSecond * 3600 * 12;
  EXPECT_EQ(Get(0x04), 0x12) << "midnight";
  Put(0x0b, 0x04);
  now_ += kSecond * 3600 * 23;
  EXPECT_EQ(Get(0x04), 0x8b) << "eleven in the evening, binary";
}

TEST_F(CmosRtcTest, GuestSetsTheClockWhileItIsHalted) {
  Put(0x0b, kSet24HoursBcd);
  now_ += 10 * kSecond;
  EXPECT_EQ(Get(0x00), 0x15) << "halted";
  // 1999-12-31 23:59:58, field by field, with dates between that are none.
  Put(0x07, 0x31);
  Put(0x08, 0x12);
  Put(0x09, 0x99);
  Put(0x32, 0x19);
  Put(0x04, 0x23);
  Put(0x02, 0x59);
  Put(0x00, 0x58);
  EXPECT_EQ(Get(0x08), 0x12);
  Put(0x0b, k24HoursBcd);

  EXPECT_EQ(Get(0x00), 0x58);
  EXPECT_EQ(Get(0x06), 0x06) << "a Friday";
  now_ += 2 * kSecond;
  EXPECT_EQ(Get(0x00), 0x00);
  EXPECT_EQ(Get(0x04), 0x00);
  EXPECT_EQ(Get(0x07), 0x01);
  EXPECT_EQ(Get(0x08), 0x01);
  EXPECT_EQ(Get(0x09), 0x00);
  EXPECT_EQ(Get(0x32), 0x20);
}

TEST_F(CmosRtcTest, GuestSetsTheHourInTwelveHourForm) {
  Put(0x0b, 0x00);
  Put(0x04, 0x92);
  EXPECT_EQ(Get(0x04), 0x92);
  Put(0x04, 0x12);
  Put(0x0b, k24HoursBcd);

  EXPECT_EQ(Get(0x04), 0x00);
}

TEST_F(CmosRtcTest, UpdateIsInProgressBrieflyBeforeEachSecond) {
  EXPECT_EQ(Get(0x0a), 0x26);
  now_ += kSecond - 245'000;
  EXPECT_EQ(Get(0x0a), 0x26);
  now_ += 1'000;
  EXPECT_EQ(Get(0x0a), 0xa6);
  now_ += 243'999;
  EXPECT_EQ(Get(0x0a), 0xa6);
  Put(0x0b, kSet24HoursBcd);
  EXPECT_EQ(Get(0x0a), 0x26) << "a halted clock has no updates";
  Put(0x0b, k24HoursBcd);
  now_ += 1;
  EXPECT_EQ(Get(0x0a), 0x26);
}

TEST_F(CmosRtcTest, UpdateFlagComesOnceASecond) {
  EXPECT_EQ(Get(0x0c), 0x00);
  now_ += kSecond;
  EXPECT_EQ(Get(0x0c), 0x10);
  EXPECT_EQ(Get(0x0c), 0x00);
  Put(0x0b, 0x12);
  now_ += kSecond;
  EXPECT_EQ(Get(0x0c), 0x90);
}

TEST_F(CmosRtcTest, StatusRegistersKeepWhatIsTheirs) {
  Put(0x0a, 0xff);
  Put(0x0c, 0xff);
  Put(0x0d, 0x00);

  EXPECT_EQ(Get(0x0a), 0x7f);
  EXPECT_EQ(Get(0x0c), 0x00);
  EXPECT_EQ(Get(0x0d), 0x80);
}

TEST_F(CmosRtcTest, MemorySizesOfASmallMachine) {
  Make({.below_4g = 8 << 20});

  EXPECT_EQ(Number(0x15, 2), 640u);
  EXPECT_EQ(Number(0x17, 2), 7u * 1024);
  EXPECT_EQ(Number(0x30, 2), 7u * 1024);
  EXPECT_EQ(Number(0x34, 2), 0u);
  EXPECT_EQ(Number(0x5b, 3), 0u);
}

TEST_F(CmosRtcTest, MemorySizesOfALargeMachine) {
  Make({.below_4g = uint64_t{3} << 30, .above_4g = uint64_t{125} << 30});

  EXPECT_EQ(Number(0x15, 2), 640u);
  EXPECT_EQ(Number(0x17, 2), 0xffffu);
  EXPECT_EQ(Number(0x34, 2), (3072u - 16) * 16);
  EXPECT_EQ(Number(0x5b, 3), 125u * 16384);
}

TEST_F(CmosRtcTest, ChecksumIsRight) {
  Make({.below_4g = uint64_t{1} << 30});
  uint32_t sum = 0;
  for (uint8_t cell = 0x10; cell < 0x2e; ++cell) sum += Get(cell);

  EXPECT_EQ(sum, static_cast<uint32_t>(Get(0x2e) << 8 | Get(0x2f)));
}

TEST_F(CmosRtcTest, RestIsMemoryAndTheNmiBitIsNoAddress) {
  Put(0x0f, 0x0a);
  Put(0x7f, 0x55);

  EXPECT_EQ(Get(0x8f), 0x0a);
  EXPECT_EQ(Get(0xff), 0x55);
  EXPECT_EQ(ReadValue<uint8_t>(*cmos_, CmosRtc::kIndexOffset), 0xff);
}

TEST_F(CmosRtcTest, LivesThroughRandomAccesses) {
  Torment(*cmos_, CmosRtc::kWindowSize);
  now_ = INT64_MAX;
  Torment(*cmos_, CmosRtc::kWindowSize);
  now_ = INT64_MIN;
  Torment(*cmos_, CmosRtc::kWindowSize);
}

TEST_F(CmosRtcTest, DateNeverLeavesItsYears) {
  for (int i = 0; i < 2'000; ++i) Put(0x08, 0xff);
  EXPECT_EQ(Get(0x32), 0x99);
  EXPECT_EQ(Get(0x09), 0x99);

  Put(0x32, 0x00);
  Put(0x09, 0x00);
  Put(0x08, 0x00);
  EXPECT_EQ(Get(0x32), 0x00);
  EXPECT_EQ(Get(0x09), 0x00);
}

}  // namespace
}  // namespace vmwire
