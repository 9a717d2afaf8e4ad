#include "vmm/cli/host_probe.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memory/host_memory_linux.h"
#include "vmm/kvm_abi.h"

namespace vmwire {
namespace {

void ProbeKvm(const std::string& device, HostProbe& probe) {
  const int kvm = open(device.c_str(), O_RDWR | O_CLOEXEC);
  if (kvm < 0) {
    probe.kvm_open_errno = errno;
    return;
  }
  probe.kvm_api_version = ioctl(kvm, KVM_GET_API_VERSION, 0);
  const auto capability = [kvm](int number) {
    return std::max(ioctl(kvm, KVM_CHECK_EXTENSION, number), 0);
  };
  probe.user_memory = capability(KVM_CAP_USER_MEMORY);
  probe.memory_slots = capability(KVM_CAP_NR_MEMSLOTS);
  probe.immediate_exit = capability(KVM_CAP_IMMEDIATE_EXIT);
  probe.readonly_memory = capability(KVM_CAP_READONLY_MEM);
  probe.guest_memfd = capability(KVM_CAP_GUEST_MEMFD);
  probe.guest_memfd_flags = capability(KVM_CAP_GUEST_MEMFD_FLAGS);
  probe.vcpus = capability(KVM_CAP_NR_VCPUS);
  probe.max_vcpus = capability(KVM_CAP_MAX_VCPUS);
  const int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) {
    probe.kvm_create_errno = errno;
  } else {
    close(vm);
  }
  close(kvm);
}

int ProbeMemfd() {
  const int file = memfd_create("vmwire-doctor", MFD_CLOEXEC);
  if (file < 0) return errno;
  close(file);
  return 0;
}

int ProbeIoUring() {
  io_uring_params parameters = {};
  const long ring = syscall(__NR_io_uring_setup, 1, &parameters);
  if (ring < 0) return errno;
  close(static_cast<int>(ring));
  return 0;
}

void ProbeBufferTables(HostProbe& probe) {
  HostMemoryLinux host;
  const absl::StatusOr<BufferTable> table = host.CreateBufferTable(1);
  probe.has_buffer_tables = table.ok();
  if (!table.ok()) return;
  const absl::StatusOr<BufferTable> clone = host.CloneBufferTable(*table);
  probe.has_buffer_cloning = clone.ok();
  if (clone.ok()) host.DestroyBufferTable(*clone);
  host.DestroyBufferTable(*table);
}

// Of the first processor that the file names; all have the same.
bool HasVmxOrSvm(const std::string& cpuinfo) {
  std::ifstream file(cpuinfo);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("flags", 0) != 0) continue;
    std::istringstream words(line);
    std::string word;
    while (words >> word) {
      if (word == "vmx" || word == "svm") return true;
    }
    return false;
  }
  return false;
}

bool HasModule(const HostProbe& probe, const char* module) {
  return std::find(probe.kvm_modules.begin(), probe.kvm_modules.end(), module) !=
         probe.kvm_modules.end();
}

}  // namespace

HostProbe ProbeHost(const std::string& kvm_device, const std::string& module_directory,
                    const std::string& cpuinfo) {
  HostProbe probe;
  ProbeKvm(kvm_device, probe);
  for (const char* module : {"kvm_pvm", "kvm_intel", "kvm_amd"}) {
    std::error_code ignored;  // A directory that cannot be seen tells nothing.
    if (std::filesystem::exists(absl::StrCat(module_directory, "/", module), ignored)) {
      probe.kvm_modules.emplace_back(module);
    }
  }
  probe.has_vmx_or_svm = HasVmxOrSvm(cpuinfo);
  probe.memfd_errno = ProbeMemfd();
  probe.io_uring_errno = ProbeIoUring();
  if (probe.io_uring_errno == 0) ProbeBufferTables(probe);
  return probe;
}

bool EmulatesRing0(const HostProbe& probe) {
  if (HasModule(probe, "kvm_intel") || HasModule(probe, "kvm_amd")) return false;
  return HasModule(probe, "kvm_pvm") || !probe.has_vmx_or_svm;
}

}  // namespace vmwire
