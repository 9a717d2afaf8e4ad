#include "vmm/boot/start_mode.h"

#include <gtest/gtest.h>

namespace vmwire {
namespace {

TEST(StartMode, NamesAreThoseOfTheOption) {
  EXPECT_EQ(ToString(StartMode::kReal16), "real16");
  EXPECT_EQ(ToString(StartMode::kProtected32), "protected32");
  EXPECT_EQ(ToString(StartMode::kLong64Ring0), "long64-ring0");
  EXPECT_EQ(ToString(StartMode::kLong64Ring3), "long64-ring3");
}

TEST(StartMode, LongModeIsThatOfBothRings) {
  EXPECT_TRUE(IsLongMode(StartMode::kLong64Ring0));
  EXPECT_TRUE(IsLongMode(StartMode::kLong64Ring3));
  EXPECT_FALSE(IsLongMode(StartMode::kProtected32));
  EXPECT_FALSE(IsLongMode(StartMode::kReal16));
}

}  // namespace
}  // namespace vmwire
