#include "vmm/boot/start_mode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

TEST(StartMode, NamesParseToTheirModes) {
  for (StartMode mode : {StartMode::kReal16, StartMode::kProtected32, StartMode::kLong64Ring0,
                         StartMode::kLong64Ring3}) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const StartMode parsed, ParseStartMode(ToString(mode)));
    EXPECT_EQ(parsed, mode);
  }
}

TEST(StartMode, RefusesAnUnknownNameAndListsTheKnown) {
  EXPECT_THAT(ParseStartMode("long64"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::HasSubstr("real16, protected32, long64-ring0, long64-ring3")));
}

}  // namespace
}  // namespace vmwire
