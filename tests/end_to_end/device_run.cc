#include "tests/end_to_end/device_run.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

namespace vmwire {
namespace {

// IORING_REGISTER_CLONE_BUFFERS, which headers before Linux 6.12 lack.
constexpr unsigned kCloneBuffers = 30;

bool EnterMountNamespace() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

const nlohmann::json* FindDevice(const nlohmann::json& summary, const std::string& device) {
  if (!summary.contains("devices")) return nullptr;
  for (const nlohmann::json& entry : summary["devices"]) {
    if (entry["name"] == device) return &entry;
  }
  return nullptr;
}

}  // namespace

nlohmann::json SummaryOf(const ProcessResult& result) {
  std::istringstream lines(result.err);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind('{', 0) == 0) return nlohmann::json::parse(line);
  }
  ADD_FAILURE() << "no summary on stderr: " << result.err;
  return nullptr;
}

uint64_t Counter(const nlohmann::json& summary, const std::string& device,
                 const std::string& name) {
  const nlohmann::json* const entry = FindDevice(summary, device);
  if (entry != nullptr && (*entry)["counters"].contains(name)) {
    return (*entry)["counters"][name].get<uint64_t>();
  }
  ADD_FAILURE() << device << " has no counter '" << name << "': " << summary;
  return 0;
}

bool HasDevice(const nlohmann::json& summary, const std::string& device) {
  return FindDevice(summary, device) != nullptr;
}

std::optional<std::string> NoSharedBuffers() {
  io_uring_params parameters = {};
  const int ring = static_cast<int>(syscall(__NR_io_uring_setup, 1, &parameters));
  if (ring < 0) return std::strerror(errno);
  // A kernel that knows it looks at the argument, which is at no address.
  syscall(__NR_io_uring_register, ring, kCloneBuffers, reinterpret_cast<void*>(1), 1);
  const int error = errno;
  close(ring);
  if (error == EFAULT) return std::nullopt;
  return "io_uring of this kernel cannot share registered buffers";
}

std::function<bool()> InputFrom(const std::string& path) {
  return [path] {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    return file >= 0 && dup2(file, STDIN_FILENO) == STDIN_FILENO;
  };
}

bool MountSmallTmpfs(const std::string& folder, uint64_t bytes) {
  const std::string size = "size=" + std::to_string(bytes);
  return EnterMountNamespace() && mount("none", folder.c_str(), "tmpfs", 0, size.c_str()) == 0;
}

bool MountReadOnly(const std::string& folder) {
  return EnterMountNamespace() &&
         mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
         mount(nullptr, folder.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
}

}  // namespace vmwire
