#include "tests/kernel/disturbance/host_settings.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memory/errno_status.h"
#include "memory/page_range.h"
#include "memory/status_macros.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

// Any file that each kernel has: what counts is that all take the same.
constexpr char kLock[] = "/proc/sys/vm/swappiness";
constexpr char kKsm[] = "/sys/kernel/mm/ksm/";
constexpr char kZramControl[] = "/sys/class/zram-control/";

absl::Status Missing(const absl::Status& cause) {
  return absl::UnavailableError(std::string(cause.message()));
}

// What mkswap(8) writes: the first page of a swap area (union swap_header of the kernel).
absl::Status MakeSwapArea(const std::string& device, uint64_t bytes) {
  constexpr std::string_view kSignature = "SWAPSPACE2";
  std::array<char, kPageSize> header = {};
  const std::array<uint32_t, 3> info = {1, static_cast<uint32_t>(bytes / kPageSize - 1), 0};
  std::memcpy(&header[1024], info.data(), sizeof(info));
  std::memcpy(&header[kPageSize - kSignature.size()], kSignature.data(), kSignature.size());
  const int file = open(device.c_str(), O_WRONLY | O_CLOEXEC);
  const bool written = file >= 0 &&
                       pwrite(file, header.data(), header.size(), 0) == ssize_t{kPageSize} &&
                       fsync(file) == 0;
  const int error = errno;
  if (file >= 0) close(file);
  return written ? absl::OkStatus() : Missing(ErrnoStatus(error, "writing " + device));
}

// Where the hierarchy that has the memory controller is mounted, as proc_pid_mountinfo(5) has it;
// empty if nowhere.
struct CgroupMount {
  std::string path;
  bool v2 = false;
};

CgroupMount FindMemoryCgroups() {
  CgroupMount found;
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash));
    std::string path;
    for (int field = 0; field < 5; ++field) before >> path;
    std::istringstream after(line.substr(dash + 3));
    std::string type, source, options;
    after >> type >> source >> options;
    if (type == "cgroup" && ("," + options + ",").find(",memory,") != std::string::npos) {
      return {path, false};
    }
    const bool has_memory =
        (" " + ReadSetting(path + "/cgroup.subtree_control") + " ").find(" memory ") !=
        std::string::npos;
    if (type == "cgroup2" && has_memory) found = {path, true};
  }
  return found;
}

}  // namespace

absl::Status AsMissing(const absl::Status& status) {
  const bool is_missing = absl::IsResourceExhausted(status) || absl::IsPermissionDenied(status) ||
                          absl::IsUnimplemented(status);
  return is_missing ? Missing(status) : status;
}

absl::Status WriteSetting(const std::string& path, const std::string& value) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool written =
      file >= 0 && write(file, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  const int error = errno;
  if (file >= 0) close(file);
  if (written) return absl::OkStatus();
  return Missing(ErrnoStatus(error, absl::StrCat("writing ", value, " to ", path)));
}

std::string ReadSetting(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

HostSettings::HostSettings() : lock_(open(kLock, O_RDONLY | O_CLOEXEC)) {
  EXPECT_TRUE(lock_ >= 0 && flock(lock_, LOCK_EX) == 0);
}

HostSettings::~HostSettings() {
  for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) (*undo)();
  close(lock_);
}

absl::Status HostSettings::Set(const std::string& path, const std::string& value) {
  const std::string before = ReadSetting(path);
  VMWIRE_RETURN_IF_ERROR(WriteSetting(path, value));
  AtEnd([path, before] {
    EXPECT_THAT(WriteSetting(path, before), IsOk());
    EXPECT_EQ(ReadSetting(path), before) << path << " is not as it was";
  });
  return absl::OkStatus();
}

absl::Status HostSettings::RunKsm() {
  const std::string run = ReadSetting(absl::StrCat(kKsm, "run"));
  if (run.empty()) return absl::UnavailableError("the kernel has no KSM");
  if (run != "0") {
    return absl::UnavailableError("another uses KSM here (/sys/kernel/mm/ksm/run is " + run +
                                  "): its settings are not for a test to change");
  }
  VMWIRE_RETURN_IF_ERROR(Set(absl::StrCat(kKsm, "pages_to_scan"), "20000"));
  VMWIRE_RETURN_IF_ERROR(Set(absl::StrCat(kKsm, "sleep_millisecs"), "0"));
  return Set(absl::StrCat(kKsm, "run"), "1");
}

absl::Status HostSettings::AddZramSwap(uint64_t bytes) {
  const std::string hot_add = absl::StrCat(kZramControl, "hot_add");
  if (access(hot_add.c_str(), F_OK) != 0) {
    return absl::UnavailableError("no zram here (is the module loaded?): nothing to swap to");
  }
  const std::string number = ReadSetting(hot_add);  // This makes one.
  if (number.empty()) return absl::UnavailableError("no right to make a zram device");
  const std::string disk = "/sys/block/zram" + number;
  AtEnd([number] {
    EXPECT_THAT(WriteSetting(absl::StrCat(kZramControl, "hot_remove"), number), IsOk());
  });
  VMWIRE_RETURN_IF_ERROR(WriteSetting(disk + "/disksize", std::to_string(bytes)));
  AtEnd([disk] { EXPECT_THAT(WriteSetting(disk + "/reset", "1"), IsOk()); });
  const std::string device = "/dev/zram" + number;
  if (access(device.c_str(), F_OK) != 0) return absl::UnavailableError("there is no " + device);
  VMWIRE_RETURN_IF_ERROR(MakeSwapArea(device, bytes));
  // Before any other swap there is.
  if (swapon(device.c_str(), SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK) != 0) {
    return Missing(ErrnoStatus(errno, "swapon " + device));
  }
  AtEnd([device] { EXPECT_EQ(swapoff(device.c_str()), 0) << "swapoff " << device; });
  return absl::OkStatus();
}

absl::StatusOr<std::string> HostSettings::AddMemoryCgroup(uint64_t limit) {
  const CgroupMount mount = FindMemoryCgroups();
  if (mount.path.empty()) {
    return absl::UnavailableError("no hierarchy of memory cgroups is mounted here");
  }
  const std::string group = absl::StrCat(mount.path, "/vmwire-test-", getpid());
  if (mkdir(group.c_str(), 0755) != 0) return Missing(ErrnoStatus(errno, "making " + group));
  AtEnd([group] {
    // The last to leave it may have ended a moment ago only.
    EXPECT_EQ(
        Eventually([&] { return rmdir(group.c_str()); }, [](int removed) { return removed == 0; }),
        0)
        << "removing " << group;
  });
  const std::string file = mount.v2 ? "/memory.max" : "/memory.limit_in_bytes";
  VMWIRE_RETURN_IF_ERROR(WriteSetting(group + file, std::to_string(limit)));
  return group + "/cgroup.procs";
}

}  // namespace vmwire
