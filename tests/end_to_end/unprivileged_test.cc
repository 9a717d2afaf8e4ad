// hello as somebody who is not root, in a group that may use /dev/kvm, under the usual
// RLIMIT_MEMLOCK of 8 MiB.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/end_to_end/command.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

constexpr uid_t kNobody = 65534;
constexpr gid_t kKvmGroup = 54321;
constexpr rlim_t kUsualMemlock = 8 << 20;

// In the child: a /dev/kvm of `mode` that belongs to kKvmGroup, in a mount namespace of its own;
// then somebody else.
bool BecomeUnprivileged(const std::string& folder, mode_t mode) {
  struct stat real = {};
  const std::string node = folder + "/kvm";
  if (stat("/dev/kvm", &real) != 0 || unshare(CLONE_NEWNS) != 0) return false;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  if (mknod(node.c_str(), S_IFCHR | mode, real.st_rdev) != 0) return false;
  if (chown(node.c_str(), 0, kKvmGroup) != 0 || chmod(node.c_str(), mode) != 0) return false;
  if (mount(node.c_str(), "/dev/kvm", nullptr, MS_BIND, nullptr) != 0) return false;
  const rlimit limit = {kUsualMemlock, kUsualMemlock};
  return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && setgroups(1, &kKvmGroup) == 0 &&
         setgid(kNobody) == 0 && setuid(kNobody) == 0;
}

class UnprivilegedTest : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    if (IsSkipped()) return;
    if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
    // The build folder may be closed to others.
    ASSERT_EQ(chmod(scratch_.path().c_str(), 0755), 0);
    std::filesystem::copy(CommandPath(), command_ = scratch_.File("vmwire"));
    std::filesystem::copy(GuestPath("hello"), hello_ = scratch_.File("hello"));
  }

  ProcessResult Run(const std::vector<std::string>& arguments, mode_t mode = 0660) {
    std::vector<std::string> command = {command_, "run", hello_};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return Process::Run(command,
                        [this, mode] { return BecomeUnprivileged(scratch_.path(), mode); });
  }

  ScratchFolder scratch_;
  std::string command_;
  std::string hello_;
};

TEST_F(UnprivilegedTest, HelloRunsWithTheDefaults) {
  const ProcessResult result = Run({});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Hello"));
}

TEST_F(UnprivilegedTest, HelloRunsPinned) {
  const ProcessResult result = Run({"--pin-level", "pinned"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
}

TEST_F(UnprivilegedTest, MoreMemoryThanMayBeLockedIsExplained) {
  const ProcessResult result = Run({"--memory", "128M"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("RLIMIT_MEMLOCK"));
  EXPECT_THAT(result.err, HasSubstr("--wire none"));
}

TEST_F(UnprivilegedTest, MoreMemoryRunsUnwired) {
  EXPECT_EQ(Run({"--memory", "128M", "--wire", "none"}).exit_status, 0);
}

TEST_F(UnprivilegedTest, WithoutTheRightToKvmTheGroupIsNamed) {
  const ProcessResult result = Run({}, 0600);
  EXPECT_EQ(result.exit_status, 3);
  EXPECT_THAT(result.err, HasSubstr("kvm"));
  EXPECT_THAT(result.err, HasSubstr("usermod"));
}

}  // namespace
}  // namespace vmwire
