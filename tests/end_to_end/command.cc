#include "tests/end_to_end/command.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "memory/host_limits.h"

namespace vmwire {

std::string CommandPath() { return VMWIRE_BUILD_FOLDER "/vmwire"; }

std::string GuestPath(const std::string& name) { return VMWIRE_BUILD_FOLDER "/guests/" + name; }

ProcessResult Vmwire(const std::vector<std::string>& arguments,
                     const std::function<bool()>& in_child) {
  std::vector<std::string> command = {CommandPath()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return Process::Run(command, in_child);
}

std::optional<std::string> NoUsableKvm() {
  const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) return std::strerror(errno);
  close(kvm);
  return std::nullopt;
}

std::optional<std::string> NoUsableIoUring() {
  io_uring_params parameters = {};
  const long ring = syscall(__NR_io_uring_setup, 1, &parameters);
  if (ring < 0) return absl::StrFormat("no usable io_uring: %s", std::strerror(errno));
  close(static_cast<int>(ring));
  return std::nullopt;
}

bool ForbidIoUring() {
  // Of a system call's number: this one fails with EPERM, all others go on.
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {static_cast<unsigned short>(std::size(filter)), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

std::optional<std::string> CannotHave(uint64_t bytes) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits();
  if (!limits.ok()) return limits.status().ToString();
  const uint64_t total = limits->memory_total + limits->swap_total;
  if (total >= bytes && (!limits->cgroup.has_value() || limits->cgroup->limit >= bytes))
    return std::nullopt;
  return absl::StrFormat("needs %d GiB of memory and swap", bytes >> 30);
}

std::optional<std::string> CannotWire(uint64_t bytes) {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits();
  if (!limits.ok()) return limits.status().ToString();
  if (!limits->may_exceed_memlock && limits->memlock_soft < bytes)
    return absl::StrFormat("needs an RLIMIT_MEMLOCK of %d MiB", bytes >> 20);
  if (limits->memory_available < bytes ||
      (limits->cgroup.has_value() && limits->cgroup->room() < bytes))
    return absl::StrFormat("needs %d MiB of free memory", bytes >> 20);
  return std::nullopt;
}

bool LimitLockedMemory(uint64_t bytes) {
  const rlimit limit = {bytes, bytes};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
  // Root gets at exec what is in the bounding set; who is not root has nothing to drop.
  return prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK) == 0 || geteuid() != 0;
}

ScratchFolder::ScratchFolder(const std::string& parent) {
  const std::filesystem::path folder =
      parent.empty() ? std::filesystem::temp_directory_path() : std::filesystem::path(parent);
  std::string name = (folder / "vmwire-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    ADD_FAILURE() << "no scratch folder " << name;
    return;
  }
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;  // What is left in a folder for temporary files harms no test.
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

std::string ScratchFolder::File(const std::string& name,
                                const std::optional<std::string>& content) const {
  const std::string path = path_ + "/" + name;
  if (content.has_value()) std::ofstream(path, std::ios::binary) << *content;
  return path;
}

}  // namespace vmwire
