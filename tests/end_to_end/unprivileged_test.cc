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

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/end_to_end/command.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

constexpr gid_t kKvmGroup = 54321;
constexpr rlim_t kUsualMemlock = 8 << 20;

// In the child: says on stderr what failed, unless it has not.
bool Succeeded(bool success, const char* what) {
  if (!success) dprintf(STDERR_FILENO, "%s: %s", what, std::strerror(errno));
  return success;
}

// In the child: a /dev/kvm of `mode` that belongs to kKvmGroup, in a mount namespace of its own.
bool ReplaceKvm(const std::string& folder, mode_t mode) {
  struct stat real = {};
  const std::string node = folder + "/kvm";
  unlink(node.c_str());  // Of an earlier child.
  return Succeeded(stat("/dev/kvm", &real) == 0, "stat /dev/kvm") &&
         Succeeded(unshare(CLONE_NEWNS) == 0, "unshare") &&
         Succeeded(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount /") &&
         Succeeded(mknod(node.c_str(), S_IFCHR | mode, real.st_rdev) == 0, "mknod") &&
         Succeeded(chown(node.c_str(), 0, kKvmGroup) == 0, "chown") &&
         Succeeded(chmod(node.c_str(), mode) == 0, "chmod") &&
         Succeeded(mount(node.c_str(), "/dev/kvm", nullptr, MS_BIND, nullptr) == 0,
                   "mount /dev/kvm");
}

// In the child: somebody else, and nobody that another test is: io_uring counts what is pinned per
// user, and takes it back late.
bool BecomeSomebody() {
  constexpr uid_t kFirst = 2'000'000'000;
  constexpr uid_t kNobody = 65534;  // For a user namespace that has few users.
  if (setuid(kFirst + static_cast<uid_t>(getpid())) == 0) return true;
  return Succeeded(setuid(kNobody) == 0, "setuid");
}

// The same; then somebody else.
bool BecomeUnprivileged(const std::string& folder, mode_t mode) {
  const rlimit limit = {kUsualMemlock, kUsualMemlock};
  return ReplaceKvm(folder, mode) &&
         Succeeded(setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "setrlimit") &&
         Succeeded(setgroups(1, &kKvmGroup) == 0, "setgroups") &&
         Succeeded(setgid(kKvmGroup) == 0, "setgid") && BecomeSomebody();
}

class UnprivilegedTest : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    if (IsSkipped()) return;
    if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
    // The build folder may be closed to others.
    ASSERT_EQ(chmod(scratch_.path().c_str(), 0755), 0);
    const std::string reason = WhyNot(
        [] { return Succeeded(open("/dev/kvm", O_RDWR | O_CLOEXEC) >= 0, "open /dev/kvm"); });
    if (!reason.empty()) GTEST_SKIP() << "nobody else can be given /dev/kvm here: " << reason;
    std::filesystem::copy(CommandPath(), command_ = scratch_.File("vmwire"));
    std::filesystem::copy(GuestPath("hello"), hello_ = scratch_.File("hello"));
  }

  ProcessResult Run(const std::vector<std::string>& arguments, mode_t mode = 0660) {
    std::vector<std::string> command = {command_, "run", hello_};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return Process::Run(command,
                        [this, mode] { return BecomeUnprivileged(scratch_.path(), mode); });
  }

  // Why `attempt` of somebody else fails here, as it says on stderr; empty if it does not.
  std::string WhyNot(const std::function<bool()>& attempt) {
    const auto in_child = [&] { return BecomeUnprivileged(scratch_.path(), 0660) && attempt(); };
    return Process::Run({"/bin/true"}, in_child).err;
  }

  // Why somebody else cannot have an io_uring here; empty if they can.
  std::string WhyNoRing() {
    return WhyNot([] {
      const std::optional<std::string> no_ring = NoUsableIoUring();
      if (no_ring.has_value()) dprintf(STDERR_FILENO, "%s", no_ring->c_str());
      return !no_ring.has_value();
    });
  }

  ScratchFolder scratch_;
  std::string command_;
  std::string hello_;
};

TEST_F(UnprivilegedTest, HelloRunsWithTheDefaults) {
  if (const std::string reason = WhyNoRing(); !reason.empty()) GTEST_SKIP() << reason;
  const ProcessResult result = Run({});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Hello"));
}

TEST_F(UnprivilegedTest, HelloRunsPinnedAndResident) {
  if (const std::string reason = WhyNoRing(); !reason.empty()) GTEST_SKIP() << reason;
  for (const std::string level : {"pinned", "resident"}) {
    const ProcessResult result = Run({"--pin-level", level});
    EXPECT_EQ(result.exit_status, 0) << level << ": " << result.err;
  }
}

TEST_F(UnprivilegedTest, TheProofSaysWhichPartNeedsMoreRights) {
  if (const std::string reason = WhyNoRing(); !reason.empty()) GTEST_SKIP() << reason;
  const ProcessResult result = Run({"--verify"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("proven; not provable here: frames, page flags"));
  EXPECT_THAT(result.err, HasSubstr("CAP_SYS_ADMIN"));
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
