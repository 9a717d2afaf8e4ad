#include "vmm/cli/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(ParseDuration, UnitsAreKnownInAnyCase) {
  EXPECT_EQ(*ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(*ParseDuration("30s"), milliseconds(30'000));
  EXPECT_EQ(*ParseDuration("30"), milliseconds(30'000));
  EXPECT_EQ(*ParseDuration("2M"), milliseconds(120'000));
  EXPECT_EQ(*ParseDuration("1h"), milliseconds(3'600'000));
  EXPECT_EQ(*ParseDuration("8760h"), kMaxDuration);
}

TEST(ParseDuration, WhatIsNoneIsRefusedWithItsReason) {
  const auto refused = [](const char* text) {
    return std::string(ParseDuration(text).status().message());
  };
  EXPECT_THAT(refused(""), HasSubstr("does not start with a number"));
  EXPECT_THAT(refused("-1s"), HasSubstr("does not start with a number"));
  EXPECT_THAT(refused("s"), HasSubstr("does not start with a number"));
  EXPECT_THAT(refused("1.5s"), HasSubstr("a fraction"));
  EXPECT_THAT(refused("10 s"), HasSubstr("unknown unit"));
  EXPECT_THAT(refused("10d"), HasSubstr("unknown unit"));
  EXPECT_THAT(refused("0s"), HasSubstr("no time at all"));
  EXPECT_THAT(refused("8761h"), HasSubstr("more than a year"));
  EXPECT_THAT(refused("99999999999999999999ms"), HasSubstr("more than a year"));
}

TEST(FormatDuration, IsInTheUnitThatFits) {
  EXPECT_EQ(FormatDuration(milliseconds(7)), "7 ms");
  EXPECT_EQ(FormatDuration(milliseconds(1200)), "1.20 s");
  EXPECT_EQ(FormatDuration(milliseconds(30'000)), "30 s");
  EXPECT_EQ(FormatDuration(milliseconds(125'400)), "2 min 5 s");
  EXPECT_EQ(FormatDuration(milliseconds(120'000)), "2 min");
}

}  // namespace
}  // namespace vmwire
