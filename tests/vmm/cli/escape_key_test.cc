#include "vmm/cli/escape_key.h"

#include <gtest/gtest.h>

#include <span>
#include <string>

namespace vmwire {
namespace {

class EscapeKeyTest : public testing::Test {
 protected:
  std::string Type(const std::string& keys) {
    const std::vector<std::byte> passed = key_.Filter(std::as_bytes(std::span(keys)));
    return std::string(reinterpret_cast<const char*>(passed.data()), passed.size());
  }

  int ends_ = 0;
  int helps_ = 0;
  EscapeKey key_{[this] { ++ends_; }, [this] { ++helps_; }};
};

TEST_F(EscapeKeyTest, OrdinaryKeysGoToTheGuest) {
  EXPECT_EQ(Type("xh\x03\x1a?\n"), "xh\x03\x1a?\n");
  EXPECT_EQ(ends_ + helps_, 0);
}

TEST_F(EscapeKeyTest, ControlAXEndsTheMachine) {
  EXPECT_EQ(Type("a\x01xb"), "ab");
  EXPECT_EQ(ends_, 1);
}

TEST_F(EscapeKeyTest, AnEscapeMayComeInTwoPieces) {
  EXPECT_EQ(Type("\x01"), "");
  EXPECT_EQ(Type("x"), "");
  EXPECT_EQ(ends_, 1);
}

TEST_F(EscapeKeyTest, ControlATwiceIsOneForTheGuest) {
  EXPECT_EQ(Type("\x01\x01x"), "\x01x");
  EXPECT_EQ(ends_, 0);
}

TEST_F(EscapeKeyTest, HelpIsAskedForByTwoKeys) {
  EXPECT_EQ(Type("\x01h\x01?"), "");
  EXPECT_EQ(helps_, 2);
}

TEST_F(EscapeKeyTest, AnyOtherKeyAfterItDoesNothing) {
  EXPECT_EQ(Type("\x01qr"), "r");
  EXPECT_EQ(ends_ + helps_, 0);
}

}  // namespace
}  // namespace vmwire
