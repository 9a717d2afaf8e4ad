#include "vmm/cli/expect_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

class ExpectWatchTest : public testing::Test {
 protected:
  void Expect(const std::string& expression) {
    watch_ = std::make_unique<ExpectWatch>(ParseExpression(expression).value(),
                                           [this] { ++times_seen_; });
  }
  void Feed(const std::string& text, GuestStream stream = GuestStream::kSerial) {
    watch_->Feed(stream, std::as_bytes(std::span(text)));
  }
  bool seen() const { return watch_->seen(); }

  std::unique_ptr<ExpectWatch> watch_;
  int times_seen_ = 0;
};

TEST_F(ExpectWatchTest, TextWithinALineIsSeenOnce) {
  Expect("tests passed");
  Feed("one\nall 12 tests passed.\n");
  Feed("tests passed\n");
  EXPECT_TRUE(seen());
  EXPECT_EQ(times_seen_, 1);
}

TEST_F(ExpectWatchTest, TextThatComesInPiecesIsSeenAtItsLastByte) {
  Expect("login: ");
  for (const char c : std::string("debian login:")) Feed(std::string(1, c));
  EXPECT_FALSE(seen());
  Feed(" ");
  EXPECT_TRUE(seen()) << "a prompt has no newline";
}

TEST_F(ExpectWatchTest, ALineIsMatchedForItself) {
  Expect("one.*two");
  Feed("one\ntwo\n");
  EXPECT_FALSE(seen());
  Feed("one and two\n");
  EXPECT_TRUE(seen());
}

TEST_F(ExpectWatchTest, AnchorsAreTheStartAndTheEndOfALine) {
  Expect("^ok$");
  Feed("not ok\nok, or not\no");
  Feed("k");
  EXPECT_FALSE(seen()) << "the line may go on";
  Feed("ay\n");
  EXPECT_FALSE(seen());
  Feed("ok\r\n");
  EXPECT_TRUE(seen()) << "a carriage return is no part of a line";
}

TEST_F(ExpectWatchTest, LinesOfSerialPortAndConsoleAreNotMixed) {
  Expect("half and half");
  Feed("half and ");
  Feed("half", GuestStream::kConsole);
  EXPECT_FALSE(seen());
  Feed("half");
  EXPECT_TRUE(seen());
}

TEST_F(ExpectWatchTest, TextAcrossWindowsOfALongLineIsSeen) {
  Expect("needle");
  Feed(std::string(kExpectWindow - 3, '.'));
  Feed("needle");
  EXPECT_TRUE(seen());
}

TEST_F(ExpectWatchTest, AWindowWithinALineIsNotItsStart) {
  Expect("^x+$");
  Feed("y" + std::string(3 * kExpectWindow, 'x') + "\n");
  EXPECT_FALSE(seen());
}

TEST_F(ExpectWatchTest, HostileTextOfAnyLengthIsSurvived) {
  // Exponential, and deep, for a matcher that goes back and forth.
  Expect("(a|aa)+(.|x)*b$");
  Feed(std::string(1 << 16, 'a') + "\n");
  EXPECT_FALSE(seen());
}

// Each byte of a line that does not end is a search of all of it: for minutes, if a search tried
// every position anew.
TEST_F(ExpectWatchTest, HostileTextThatComesByteByByteIsSurvived) {
  Expect("(a|aa)+(.|x)*b$");
  for (size_t i = 0; i < kExpectWindow / 2; ++i) Feed("a");
  EXPECT_FALSE(seen());
}

TEST_F(ExpectWatchTest, AMatchMayBeginAnywhereInALine) {
  const std::vector<std::pair<std::string, std::string>> seen_in = {
      {"\\bword\\b", "a word."}, {"\\Bord", "a word."}, {"b|c", "abc"}, {"(b)(c)", "abc"},
      {"x*$", "abc\n"},          {"a|b$", "cb\r\n"},    {"y", "x\ry"},  {"[(?=]b", "a=b"},
      {"\\(?=b", "a(=b"},        {"^", "any"},          {"^$", "\r\n"}};
  for (const auto& [expression, text] : seen_in) {
    Expect(expression);
    Feed(text);
    EXPECT_TRUE(seen()) << expression;
  }
}

TEST_F(ExpectWatchTest, AnchorsHoldWithinALineToo) {
  const std::vector<std::pair<std::string, std::string>> not_seen_in = {
      {"^word", "a word\n"}, {"a|^b", "cb\n"},     {"\\bord", "a word\n"},
      {"word$", "word.\n"},  {"\\Bword", " word"}, {"^^b", "\rb\n"}};
  for (const auto& [expression, text] : not_seen_in) {
    Expect(expression);
    Feed(text);
    EXPECT_FALSE(seen()) << expression;
  }
}

TEST_F(ExpectWatchTest, TheEndOfAllOutputEndsALine) {
  Expect("PASS$");
  Feed("all done\nPASS");
  EXPECT_FALSE(seen()) << "the line may go on";

  watch_->End();

  EXPECT_TRUE(seen());
  EXPECT_EQ(times_seen_, 1);
}

TEST_F(ExpectWatchTest, AfterTheLastNewlineThereIsNoLine) {
  Expect("^$");
  Feed("PASS\n");
  watch_->End();
  EXPECT_FALSE(seen());
}

TEST_F(ExpectWatchTest, TheEndOfAllOutputEndsTheLineOfTheConsoleToo) {
  Expect("^half$");
  Feed("other half");
  Feed("half", GuestStream::kConsole);
  watch_->End();
  EXPECT_TRUE(seen());
}

TEST_F(ExpectWatchTest, BytesThatAreNoTextAreSurvived) {
  Expect("[^a]\\xff");
  Feed(std::string("\0\x80\xff", 3));
  EXPECT_TRUE(seen());
}

TEST(ParseExpression, WhatIsNoneIsRefused) {
  EXPECT_THAT(ParseExpression("(a"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'(a' is no regular")));
  EXPECT_THAT(ParseExpression("(a)\\1"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseExpression("a)|(b"), StatusIs(absl::StatusCode::kInvalidArgument))
      << "which would be one with parentheses around it";
  EXPECT_THAT(ParseExpression(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseExpression(std::string(kMaxExpression + 1, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseExpression("((a{1000}){1000}){1000}"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ParseExpression, LookaheadIsRefused) {
  for (const std::string text : {"a(?=b)", "^(?!a)b", "[]](?=b)", "\\\\(?=b)"}) {
    EXPECT_THAT(ParseExpression(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("looks ahead")))
        << text;
  }
}

}  // namespace
}  // namespace vmwire
