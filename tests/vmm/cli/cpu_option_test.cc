#include "vmm/cli/cpu_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParseCpuOption, NamesAreTakenInOrder) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names,
                              ParseCpuOption("hide=smap+avx"));
  EXPECT_THAT(names, ElementsAre("smap", "avx"));
}

TEST(ParseCpuOption, AnUnknownNameGetsTheNearest) {
  EXPECT_THAT(ParseCpuOption("hide=xsaev"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'xsave'")));
  EXPECT_THAT(ParseCpuOption("hid=smap"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'hide'")));
}

TEST(ParseCpuOption, NoNameIsRefused) {
  for (const char* text : {"", "hide", "hide=", "hide=+", "hide=smap+", "smap"}) {
    EXPECT_THAT(ParseCpuOption(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace vmwire
