// The scripts of guests/recipes, as far as nothing is fetched: which command they would run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include "tests/end_to_end/command.h"

namespace vmwire {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// What the recipe would run, with a cache that has nothing in it.
std::vector<std::string> Command(const std::string& recipe, std::vector<std::string> options) {
  options.insert(options.begin(), {VMWIRE_SOURCE_FOLDER "/guests/recipes/" + recipe, "--dry-run"});
  const ProcessResult result =
      Process::Run(options, [] { return setenv("XDG_CACHE_HOME", "/nonexistent", 1) == 0; });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  std::vector<std::string> words;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) words.push_back(line);
  EXPECT_GE(words.size(), 3u);
  return words;
}

// The values that `option` is given.
std::vector<std::string> ValuesOf(const std::vector<std::string>& words,
                                  const std::string& option) {
  std::vector<std::string> values;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == option) values.push_back(words[i + 1]);
  }
  return values;
}

class RecipeTest : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, RecipeTest, testing::Values("linux", "memtest"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return info.param;
                         });

TEST_P(RecipeTest, AnOptionReplacesWhatTheRecipeGives) {
  EXPECT_THAT(ValuesOf(Command(GetParam(), {"--memory", "1G"}), "--memory"), ElementsAre("1G"));
  EXPECT_THAT(Command(GetParam(), {"--memory=1G"}), Not(Contains("--memory")));
  EXPECT_THAT(Command(GetParam(), {"--interactive=console", "--console"}),
              Not(Contains("--interactive")));
  EXPECT_THAT(ValuesOf(Command(GetParam(), {"--initrd", "own"}), "--initrd"), ElementsAre("own"));
}

TEST_P(RecipeTest, WithoutOptionsItGivesItsOwn) {
  const std::vector<std::string> words = Command(GetParam(), {});
  EXPECT_EQ(ValuesOf(words, "--memory").size(), 1u);
  EXPECT_THAT(words, Contains("--interactive"));
}

TEST_P(RecipeTest, ATextForTheGuestGoesBehindItsOwn) {
  for (const std::string option : {"--cmdline", "--append"}) {
    const auto values = ValuesOf(Command(GetParam(), {option, "first word"}), "--cmdline");
    ASSERT_EQ(values.size(), 1u);
    EXPECT_THAT(values[0], StartsWith("console=ttyS0"));
    EXPECT_THAT(values[0], EndsWith(" first word"));
  }
}

// All but the image, which is not there, is right.
TEST_P(RecipeTest, TheCommandCanBeRun) {
  std::vector<std::string> words =
      Command(GetParam(), {"--memory", "64M", "--cmdline", "x", "--expect", "y", "--cpus", "2"});
  words.erase(words.begin());
  const ProcessResult result = Vmwire(words);
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("No such file"));
}

}  // namespace
}  // namespace vmwire
