// What happens to the host's file while a guest uses it: it shrinks, its disk is full, a limit is
// reached.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "memory/errno_status.h"
#include "tests/devices/block_fixture.h"
#include "tests/support/child.h"

namespace vmwire {
namespace {

constexpr Outcome kOk = {BlockStatus::kOk, 1};
constexpr Outcome kIoError = {BlockStatus::kIoError, 1};

class BlockHostErrorsTest : public BlockTest, public testing::WithParamInterface<bool> {
 protected:
  bool direct() const { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(All, BlockHostErrorsTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "Direct" : "Buffered";
                         });

TEST_P(BlockHostErrorsTest, AReadOfAFileThatWasTruncatedIsAnIoErrorAndTheDiskLivesOn) {
  MakeDevice({.direct = direct()});
  SetFileBytes(path_, 0, Pattern(512, 1));
  ASSERT_EQ(truncate(path_.c_str(), 6 * 512), 0);

  EXPECT_EQ(Do(kBlockIn, 100, {}, {{kData, 4096}}), kIoError);
  EXPECT_EQ(Do(kBlockIn, 4, {}, {{kData, 4096}}), kIoError);  // In part.
  EXPECT_EQ(Do(kBlockIn, 0, {}, {{kData, 512}}), (Outcome{BlockStatus::kOk, 513}));

  EXPECT_EQ(CounterOf(*device_, "errors"), 2u);
  EXPECT_EQ(Copy(kData, 512), Pattern(512, 1));
}

TEST_P(BlockHostErrorsTest, AWriteToAFileThatWasTruncatedMakesItLongerAgain) {
  MakeDevice({.direct = direct()});
  ASSERT_EQ(truncate(path_.c_str(), 512), 0);
  Fill(kData, Pattern(4096, 2));

  EXPECT_EQ(Do(kBlockOut, 80, {{kData, 4096}}, {}), kOk);

  EXPECT_EQ(FileBytes(path_, 80 * 512, 4096), Pattern(4096, 2));
}

TEST_P(BlockHostErrorsTest, AWritePastTheLimitOfFileSizesIsAnIoErrorAndNoDeath) {
  path_ = directory_.File("disk.img", kSectors * kSectorSize);
  EXPECT_THAT(RunInChild([&]() -> absl::Status {
                MakeDevice({.direct = direct()});
                const rlimit limit = {1 << 20, 1 << 20};
                if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return ErrnoStatus(errno, "setrlimit");
                EXPECT_EQ(Do(kBlockOut, 4096, {{kData, 4096}}, {}), kIoError);
                EXPECT_EQ(Do(kBlockOut, 0, {{kData, 4096}}, {}), kOk);
                EXPECT_EQ(CounterOf(*device_, "errors"), 1u);
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_P(BlockHostErrorsTest, AWriteToAFullDiskIsAnIoErrorAndOneWithRoomGoesOn) {
  const absl::Status status = RunInChild([&]() -> absl::Status {
    const std::string place = directory_.path();
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("small", place.c_str(), "tmpfs", 0, "size=1m") != 0) {
      return absl::UnavailableError("no file system can be mounted");
    }
    MakeDevice({.direct = direct()});
    EXPECT_EQ(Do(kBlockOut, 0, {{kData, 512 << 10}}, {}), kOk);
    EXPECT_EQ(Do(kBlockOut, 1024, {{kData, 1 << 20}}, {}), kIoError);
    EXPECT_EQ(DoRanges(kBlockWriteZeroes, {{2048, 4096, 0}}), kIoError);
    EXPECT_EQ(DoRanges(kBlockDiscard, {{0, kSectors, 0}}), kOk);
    EXPECT_EQ(Do(kBlockOut, 1024, {{kData, 64 << 10}}, {}), kOk);
    EXPECT_EQ(CounterOf(*device_, "errors"), 2u);
    session_.reset();
    device_.reset();
    return absl::OkStatus();
  });
  if (absl::IsUnavailable(status)) GTEST_SKIP() << status;
  EXPECT_THAT(status, IsOk());
}

}  // namespace
}  // namespace vmwire
