#include "vmm/cli/filtered_input.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>

#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

class FilteredInputTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0); }
  void TearDown() override {
    input_.reset();
    EndInput();
    close(ends_[0]);
  }
  void Start() {
    auto input = FilteredInput::Start(ends_[0], [this](std::span<const std::byte> bytes) {
      seen_ += bytes.size();
      std::vector<std::byte> passed(bytes.begin(), bytes.end());
      std::erase(passed, std::byte{'-'});
      return passed;
    });
    ASSERT_THAT(input, IsOk());
    input_ = *std::move(input);
  }
  void Type(const std::string& text) {
    ASSERT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void EndInput() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  // To the end of the input.
  std::string ReadAll() {
    std::string all;
    std::array<char, 4096> chunk;
    ssize_t got = 0;
    while ((got = read(input_->output(), chunk.data(), chunk.size())) > 0) {
      all.append(chunk.data(), static_cast<size_t>(got));
    }
    return all;
  }

  std::array<int, 2> ends_ = {-1, -1};
  std::atomic<size_t> seen_ = 0;
  std::unique_ptr<FilteredInput> input_;
};

TEST_F(FilteredInputTest, WhatTheFilterLetsThroughArrivesAndThenTheEnd) {
  Start();
  Type("a-b");
  Type("--c");
  EndInput();
  EXPECT_EQ(ReadAll(), "abc");
}

TEST_F(FilteredInputTest, TheFilterSeesInputThatNobodyTakes) {
  Start();
  // More than a pipe holds.
  for (int i = 0; i < 24; ++i) Type(std::string(4096, 'x'));
  EXPECT_TRUE(
      Eventually([this] { return seen_.load() == 24 * 4096; }, [](bool all) { return all; }));
  EndInput();
  EXPECT_EQ(ReadAll().size(), 24u * 4096);
}

TEST_F(FilteredInputTest, ItGoesWhileInputIsAwaitedOrNobodyTakesIt) {
  Start();
  input_.reset();
  Start();
  for (int i = 0; i < 16; ++i) Type(std::string(4096, 'x'));
  input_.reset();
}

}  // namespace
}  // namespace vmwire
