#include "devices/pc/rtc_time.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "tests/support/seed.h"

namespace vmwire {
namespace {

TEST(RtcTimeTest, KnownMoments) {
  EXPECT_EQ(
      FromUnixSeconds(0),
      (RtcTime{
          .second = 0, .minute = 0, .hour = 0, .weekday = 5, .day = 1, .month = 1, .year = 1970}));
  EXPECT_EQ(FromUnixSeconds(951'782'399), (RtcTime{.second = 59,
                                                   .minute = 59,
                                                   .hour = 23,
                                                   .weekday = 2,
                                                   .day = 28,
                                                   .month = 2,
                                                   .year = 2000}));
  EXPECT_EQ(FromUnixSeconds(951'782'400).day, 29u);
}

TEST(RtcTimeTest, AgreesWithTheCLibraryAndComesBack) {
  std::mt19937_64 random(TestSeed());
  for (int i = 0; i < 10'000; ++i) {
    const auto seconds = static_cast<time_t>(random() % 200'000'000'000) - 60'000'000'000;
    std::tm expected = {};
    ASSERT_NE(gmtime_r(&seconds, &expected), nullptr);

    const RtcTime time = FromUnixSeconds(seconds);

    ASSERT_EQ(time.second, static_cast<uint32_t>(expected.tm_sec)) << seconds;
    ASSERT_EQ(time.minute, static_cast<uint32_t>(expected.tm_min)) << seconds;
    ASSERT_EQ(time.hour, static_cast<uint32_t>(expected.tm_hour)) << seconds;
    ASSERT_EQ(time.weekday, static_cast<uint32_t>(expected.tm_wday) + 1) << seconds;
    ASSERT_EQ(time.day, static_cast<uint32_t>(expected.tm_mday)) << seconds;
    ASSERT_EQ(time.month, static_cast<uint32_t>(expected.tm_mon) + 1) << seconds;
    ASSERT_EQ(time.year, static_cast<uint32_t>(expected.tm_year) + 1900) << seconds;
    ASSERT_EQ(ToUnixSeconds(time), seconds);
  }
}

TEST(RtcTimeTest, FieldsThatAreTooLargeCarry) {
  EXPECT_EQ(ToUnixSeconds({.second = 90, .day = 32, .month = 13, .year = 2001}),
            ToUnixSeconds({.second = 30, .minute = 1, .day = 1, .month = 2, .year = 2002}));
  EXPECT_EQ(ToUnixSeconds({.day = 1, .month = 0, .year = 2001}),
            ToUnixSeconds({.day = 1, .month = 12, .year = 2000}));
}

TEST(RtcTimeTest, PackedDecimalThereAndBack) {
  for (uint32_t value = 0; value < 100; ++value) EXPECT_EQ(FromBcd(ToBcd(value)), value);
  EXPECT_EQ(ToBcd(59), 0x59);
  EXPECT_EQ(FromBcd(0xff), 165u);
}

}  // namespace
}  // namespace vmwire
