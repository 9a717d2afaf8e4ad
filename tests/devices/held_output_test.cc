#include "devices/serial/held_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class HeldOutputTest : public testing::Test {
 protected:
  void Put(const std::string& text) {
    for (const char c : text) output_.Put(static_cast<std::byte>(c));
  }

  std::vector<std::string> chunks_;
  HeldOutput output_{[this](std::span<const std::byte> bytes) {
    chunks_.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }};
};

TEST_F(HeldOutputTest, PartOfALineIsHeldUntilItIsFlushedByItsNumber) {
  EXPECT_EQ(output_.AwaitHeld(), std::nullopt);
  Put("one\n$ ");
  const std::optional<uint64_t> line = output_.AwaitHeld();
  ASSERT_TRUE(line.has_value());
  EXPECT_THAT(chunks_, ElementsAre("one\n"));

  output_.FlushLine(*line);

  EXPECT_THAT(chunks_, ElementsAre("one\n", "$ "));
}

TEST_F(HeldOutputTest, LineThatHasGoneIsNotFlushedInsteadOfTheNext) {
  Put("a");
  const std::optional<uint64_t> line = output_.AwaitHeld();
  ASSERT_TRUE(line.has_value());
  Put("\nb");

  output_.FlushLine(*line);

  EXPECT_THAT(chunks_, ElementsAre("a\n"));
}

TEST_F(HeldOutputTest, WatcherIsWokenOnceByTheFirstByteThatIsHeld) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const EventFd wake, EventFd::Create());
  output_.Watch(&wake);
  Put("before anybody waits");
  EXPECT_FALSE(wake.Drain());
  output_.Flush();

  EXPECT_EQ(output_.AwaitHeld(), std::nullopt);
  Put("\n\n");
  EXPECT_FALSE(wake.Drain()) << "nothing was held";
  Put("a");
  EXPECT_TRUE(wake.Drain());
  Put("b\nc\nd");
  EXPECT_FALSE(wake.Drain()) << "woken twice";
  output_.Watch(nullptr);
}

TEST_F(HeldOutputTest, FlushOfNothingDoesNotCallTheSink) {
  output_.Flush();
  output_.FlushLine(0);

  EXPECT_THAT(chunks_, IsEmpty());
}

}  // namespace
}  // namespace vmwire
