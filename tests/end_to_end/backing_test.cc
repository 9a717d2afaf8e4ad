// Guest memory of each backing, launched and proven on the real KVM.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "memory/address.h"
#include "tests/end_to_end/command.h"
#include "tests/support/hugetlb_pool.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kMemory = 8 << 20;
constexpr uint64_t kPages = kMemory / kHugePageSize;  // All of it, in hugetlb pages.

class BackingTest : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    if (IsSkipped()) return;
    if (const auto reason = CannotWire(64 << 20)) GTEST_SKIP() << *reason;
  }
  static ProcessResult Touch(const std::string& memory, const std::string& level = "guarded") {
    return Vmwire(
        {"run", GuestPath("touch"), "--memory", "8M," + memory, "--pin-level", level, "--verify"});
  }
};

TEST_F(BackingTest, ASealedMemoryFileRunsAndIsProven) {
  const ProcessResult result = Touch("backing=memfd,sealed");
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("[0x0, 0x800000) guarded, memfd, 8388608 bytes: proven"));
}

TEST_F(BackingTest, AGuestMemfdRunsAtEveryLevelOrTheKernelThatHasItIsNamed) {
  for (const std::string level : {"resident", "pinned", "guarded"}) {
    const ProcessResult result = Touch("backing=guest_memfd", level);
    if (result.exit_status == 3) {
      EXPECT_THAT(result.err, AllOf(HasSubstr("Linux 6.18"), HasSubstr("backing=anonymous")));
      GTEST_SKIP() << result.err;
    }
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr(level + ", guest_memfd, 8388608 bytes: proven"));
  }
}

TEST_F(BackingTest, AGuestMemfdRunsUnwiredAndWithWindows) {
  const ProcessResult none =
      Vmwire({"run", GuestPath("hello"), "--memory", "backing=guest_memfd", "--wire", "none"});
  if (none.exit_status == 3) GTEST_SKIP() << none.err;
  EXPECT_EQ(none.exit_status, 0) << none.err;
  EXPECT_EQ(Vmwire({"run", GuestPath("hello"), "--memory", "backing=guest_memfd", "--wire", "dma",
                    "--dma-window", "1M+4K"})
                .exit_status,
            0);
}

TEST_F(BackingTest, HugetlbRunsAtEveryLevel) {
  const absl::Status ran = RunWithHugetlbPool(kPages, [] {
    for (const std::string level : {"resident", "pinned", "guarded"}) {
      AwaitFreeHugetlbPages(kPages);
      const ProcessResult result = Touch("backing=hugetlb", level);
      EXPECT_EQ(result.exit_status, 0) << result.err;
      EXPECT_THAT(result.err, HasSubstr(level + ", hugetlb, 8388608 bytes: proven"));
      EXPECT_THAT(result.err, HasSubstr("8388608 of 8388608 resident bytes (100 %)"));
    }
  });
  if (absl::IsUnavailable(ran)) GTEST_SKIP() << ran;
  EXPECT_THAT(ran, IsOk());
}

TEST_F(BackingTest, ASealedHugetlbFileRuns) {
  const absl::Status ran = RunWithHugetlbPool(kPages, [] {
    const ProcessResult result = Touch("backing=hugetlb,sealed");
    EXPECT_EQ(result.exit_status, 0) << result.err;
  });
  if (absl::IsUnavailable(ran)) GTEST_SKIP() << ran;
  EXPECT_THAT(ran, IsOk());
}

TEST_F(BackingTest, HugetlbWindowsAreWholePages) {
  const absl::Status ran = RunWithHugetlbPool(kPages, [] {
    const ProcessResult window =
        Vmwire({"run", GuestPath("hello"), "--memory", "8M,backing=hugetlb", "--wire", "dma",
                "--dma-window", "2M+2M", "--verify"});
    EXPECT_EQ(window.exit_status, 0) << window.err;
    EXPECT_THAT(window.err, HasSubstr("[0x200000, 0x400000) guarded, hugetlb"));
    AwaitFreeHugetlbPages(kPages);
    const ProcessResult cut = Vmwire({"run", GuestPath("hello"), "--memory", "8M,backing=hugetlb",
                                      "--wire", "dma", "--dma-window", "2M+4K"});
    EXPECT_EQ(cut.exit_status, 2);
    EXPECT_THAT(cut.err, AllOf(HasSubstr("2 MiB"), HasSubstr("[0x200000, 0x201000)")));
  });
  if (absl::IsUnavailable(ran)) GTEST_SKIP() << ran;
  EXPECT_THAT(ran, IsOk());
}

TEST_F(BackingTest, AnEmptyHugetlbPoolNamesTheFileThatFillsIt) {
  const HugetlbPoolTurn turn;
  if (FreeHugetlbPages(kHugePageSize) >= kPages) {
    GTEST_SKIP() << "the pool of this host is large enough";
  }
  const ProcessResult result = Touch("backing=hugetlb");
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("/proc/sys/vm/nr_hugepages"));
}

}  // namespace
}  // namespace vmwire
