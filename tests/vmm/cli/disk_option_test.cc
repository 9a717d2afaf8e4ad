#include "vmm/cli/disk_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

TEST(ParseDiskOption, APathAloneIsAWritableDiskThroughThePageCache) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const DiskConfig disk, ParseDiskOption("path=disk.img"));

  EXPECT_EQ(disk.path, "disk.img");
  EXPECT_FALSE(disk.read_only);
  EXPECT_FALSE(disk.direct);
  EXPECT_TRUE(disk.registered_buffers);
}

TEST(ParseDiskOption, FlagsComeInAnyOrderBeforeOrAfterThePath) {
  for (const std::string text : {"path=a b.img,readonly,direct", "direct,path=a b.img,readonly",
                                 "readonly,direct,path=a b.img", "a b.img,direct,readonly"}) {
    const absl::StatusOr<DiskConfig> disk = ParseDiskOption(text);
    ASSERT_THAT(disk, IsOk()) << text;
    EXPECT_EQ(disk->path, "a b.img") << text;
    EXPECT_TRUE(disk->read_only) << text;
    EXPECT_TRUE(disk->direct) << text;
  }
}

TEST(ParseDiskOption, TheFirstWordMayBeThePathWhateverIsInIt) {
  EXPECT_EQ(ParseDiskOption("/dev/sdb")->path, "/dev/sdb");
  EXPECT_EQ(ParseDiskOption("a=b.img")->path, "a=b.img");
  EXPECT_EQ(ParseDiskOption("path=a=b.img")->path, "a=b.img");
  EXPECT_EQ(ParseDiskOption("path=readonly")->path, "readonly");
}

struct Refused {
  const char* text;
  const char* reason;
};

class ParseDiskOptionRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ParseDiskOptionRefuses, WithTheReason) {
  EXPECT_THAT(ParseDiskOption(GetParam().text),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().reason)));
}

INSTANTIATE_TEST_SUITE_P(
    BadOptions, ParseDiskOptionRefuses,
    testing::Values(Refused{"", "names no file"}, Refused{"path=", "names no file"},
                    Refused{"readonly", "names no file; give path=FILE"},
                    Refused{"readonly,direct", "names no file"},
                    Refused{"path=a,readonyl", "did you mean 'readonly'"},
                    Refused{"path=a,dierct", "did you mean 'direct'"},
                    Refused{"readonly,pth=a", "did you mean 'path'"},
                    Refused{"path=a,", "known: path, readonly, direct"},
                    Refused{"path=a,,direct", "known: path, readonly, direct"},
                    Refused{"path=a,b.img", "known: path, readonly, direct"},
                    Refused{"path=a,path=b", "'path' is given twice"},
                    Refused{"a,path=b", "'path' is given twice"},
                    Refused{"path=a,direct,direct", "'direct' is given twice"},
                    Refused{"path=a,readonly=yes", "'readonly' takes no value"},
                    Refused{"direct=,path=a", "'direct' takes no value"}));

}  // namespace
}  // namespace vmwire
