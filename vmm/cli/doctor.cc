#include "vmm/cli/doctor.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <system_error>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "vmm/cli/byte_size.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/terminal.h"
#include "vmm/kvm_abi.h"
#include "vmm/machine_config.h"

namespace vmwire {
namespace {

using enum DoctorVerdict;

// The least memory of a machine: below this nothing can be wired.
constexpr uint64_t kLeastRoom = uint64_t{1} << 20;
// Below this only tiny guests can be.
constexpr uint64_t kFairRoom = uint64_t{64} << 20;
// What the kernel gives by default (DEFAULT_MAX_MAP_COUNT).
constexpr uint64_t kUsualMapCount = 65530;

std::string ErrorText(int error) { return std::generic_category().message(error); }

// ", kvm_amd", or nothing.
std::string NameOfKvm(const HostProbe& probe) {
  if (probe.kvm_modules.empty()) return "";
  return absl::StrCat(", ", absl::StrJoin(probe.kvm_modules, " or "));
}

DoctorCheck JudgeKvmOpen(const HostProbe& probe) {
  const std::string name = "/dev/kvm";
  const std::string detail = absl::StrCat("cannot open it: ", ErrorText(probe.kvm_open_errno));
  switch (probe.kvm_open_errno) {
    case 0:
      break;
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return {
          name, kFail, detail,
          "enable VT-x or SVM in the firmware (in a virtual machine: nested virtualization), then "
          "`sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`"};
    case EACCES:
    case EPERM:
      return {name, kFail, detail, "`sudo usermod -aG kvm $USER`, then log in again"};
    default:
      return {name, kFail, detail, "see `sudo dmesg | grep -i kvm`"};
  }
  if (probe.kvm_api_version != KVM_API_VERSION) {
    return {
        name, kFail,
        absl::StrFormat("KVM API version %d; %d is needed", probe.kvm_api_version, KVM_API_VERSION),
        "boot Linux 2.6.22 or newer"};
  }
  if (probe.kvm_create_errno != 0) {
    return {
        name, kFail, absl::StrCat("it opens, but makes no VM: ", ErrorText(probe.kvm_create_errno)),
        "see `sudo dmesg | grep -i kvm`; another hypervisor may hold the processor's extensions"};
  }
  return {name, kPass, absl::StrCat("usable", NameOfKvm(probe)), ""};
}

DoctorCheck JudgeNeeded(const std::string& name, int value, const std::string& since) {
  if (value > 0) return {name, kPass, "there", ""};
  return {name, kFail, "not there", absl::StrCat("boot ", since, " or newer")};
}

DoctorCheck JudgeOptional(const std::string& name, int value, const std::string& since) {
  if (value > 0) return {name, kPass, "there", ""};
  return {name, kWarn, "not there", absl::StrCat("boot ", since, " or newer, if a guest needs it")};
}

DoctorCheck JudgeGuestMemfd(const HostProbe& probe) {
  const std::string name = "KVM guest_memfd";
  constexpr uint64_t kNeeded = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
  const bool can_be_mapped = (static_cast<uint64_t>(probe.guest_memfd_flags) & kNeeded) == kNeeded;
  if (probe.guest_memfd > 0 && can_be_mapped) return {name, kPass, "there, and can be mapped", ""};
  return {name, kWarn,
          absl::StrCat(probe.guest_memfd > 0 ? "cannot be mapped" : "not there",
                       ": no backing=guest_memfd"),
          "boot Linux 6.18 or newer, or use another backing"};
}

DoctorCheck JudgeVcpus(const HostProbe& probe) {
  const std::string name = "KVM vCPUs";
  // Without KVM_CAP_MAX_VCPUS it is KVM_CAP_NR_VCPUS, and without that 4 (api.rst, 4.7).
  const int usual = probe.vcpus > 0 ? probe.vcpus : 4;
  const int most = std::min(std::max(probe.max_vcpus, usual), static_cast<int>(kMaxCpus));
  return {name, kPass, absl::StrFormat("--cpus up to %d; at most %d run at once here", most, usual),
          ""};
}

DoctorCheck JudgeRing0(const HostProbe& probe) {
  const std::string name = "guest ring 0";
  if (!EmulatesRing0(probe)) return {name, kPass, "runs on the processor", ""};
  return {
      name, kWarn,
      "guests at CPL 0 are emulated, and slow; CPUID bits of the host are seen by guests whatever "
      "--cpu hides (leaves 1, 7 and 0xd)",
      "for full speed use a host with VT-x or SVM; where a guest dies of an instruction that "
      "cannot be emulated, `--complete-emulation`"};
}

void JudgeCapabilities(const HostProbe& probe, std::vector<DoctorCheck>& checks) {
  if (probe.kvm_open_errno != 0) return;  // Nothing could be asked.
  checks.push_back(JudgeNeeded("KVM user memory", probe.user_memory, "Linux 2.6.25"));
  DoctorCheck slots = JudgeNeeded("KVM memory slots", probe.memory_slots, "Linux 2.6.25");
  if (probe.memory_slots > 0) slots.detail = absl::StrCat(probe.memory_slots);
  checks.push_back(slots);
  checks.push_back(JudgeNeeded("KVM immediate exit", probe.immediate_exit, "Linux 4.13"));
  checks.push_back(JudgeOptional("KVM read-only memory", probe.readonly_memory, "Linux 3.7"));
  checks.push_back(JudgeGuestMemfd(probe));
  checks.push_back(JudgeVcpus(probe));
  checks.push_back(JudgeRing0(probe));
}

DoctorCheck JudgeMemlock(const HostLimits& limits) {
  const std::string name = "RLIMIT_MEMLOCK";
  if (limits.may_exceed_memlock) return {name, kPass, "does not bind (CAP_IPC_LOCK)", ""};
  if (limits.memlock_soft == kUnlimited) return {name, kPass, "unlimited", ""};
  const uint64_t used = std::max(limits.locked_bytes, limits.pinned_bytes);
  const uint64_t room = limits.memlock_soft > used ? limits.memlock_soft - used : 0;
  std::string detail =
      absl::StrCat(FormatByteSize(room), " of ", FormatByteSize(limits.memlock_soft),
                   " left; larger guests cannot be wired");
  if (room >= kFairRoom) return {name, kPass, detail, ""};
  std::string remedy =
      "add `* - memlock unlimited` to /etc/security/limits.d/vmwire.conf and log in again";
  if (limits.memlock_hard == kUnlimited) {
    remedy = "`ulimit -l unlimited`";
  } else if (limits.memlock_hard > limits.memlock_soft) {
    remedy = absl::StrFormat("`ulimit -l %d` (the hard limit), or %s", limits.memlock_hard / 1024,
                             remedy);
  }
  return {name, room < kLeastRoom ? kFail : kWarn, std::move(detail), std::move(remedy)};
}

DoctorCheck JudgeCgroup(const HostLimits& limits) {
  const std::string name = "memory cgroup";
  if (!limits.cgroup.has_value()) return {name, kPass, "no limit", ""};
  const CgroupMemory& cgroup = *limits.cgroup;
  const std::string detail = absl::StrFormat("%s of %s free in %s", FormatByteSize(cgroup.room()),
                                             FormatByteSize(cgroup.limit), cgroup.path);
  if (cgroup.room() >= kFairRoom) return {name, kPass, detail, ""};
  return {
      name, cgroup.room() < kLeastRoom ? kFail : kWarn, detail,
      "give the unit or the container more memory: `systemctl set-property UNIT MemoryMax=SIZE`, "
      "`docker run --memory SIZE`"};
}

DoctorCheck JudgeMemory(const HostLimits& limits) {
  const std::string detail =
      absl::StrFormat("%s of %s available", FormatByteSize(limits.memory_available),
                      FormatByteSize(limits.memory_total));
  if (limits.memory_available >= kFairRoom) return {"memory", kPass, detail, ""};
  return {"memory", limits.memory_available < kLeastRoom ? kFail : kWarn, detail,
          "end what uses it: `ps -eo rss,comm --sort=-rss | head`"};
}

DoctorCheck JudgeSwap(const HostLimits& limits) {
  if (limits.swap_total == 0) return {"swap", kPass, "none", ""};
  return {"swap", kPass,
          absl::StrCat(FormatByteSize(limits.swap_total),
                       "; only memory that is not wired can go there"),
          ""};
}

DoctorCheck JudgeThp(const HostLimits& limits) {
  const std::string name = "THP, anonymous";
  const std::string& mode = limits.thp_enabled;
  if (mode == "always" || mode == "madvise") return {name, kPass, mode, ""};
  if (mode.empty()) {
    return {
        name, kWarn, "the kernel has no transparent huge pages",
        "boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE, or run with `--memory hugepages=none`"};
  }
  return {name, kWarn, absl::StrCat(mode, ": 4 KiB pages only, wiring is slower"),
          "`echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled`"};
}

DoctorCheck JudgeShmemThp(const HostLimits& limits) {
  const std::string name = "THP, memfd";
  const std::string& mode = limits.thp_shmem_enabled;
  if (mode == "always" || mode == "within_size" || mode == "advise" || mode == "force") {
    return {name, kPass, mode, ""};
  }
  if (mode.empty()) {
    return {name, kWarn, "the kernel has none for memory files",
            "use `--memory backing=anonymous` where huge pages matter"};
  }
  return {name, kWarn, absl::StrCat(mode, ": 4 KiB pages only with backing=memfd"),
          "`echo advise | sudo tee /sys/kernel/mm/transparent_hugepage/shmem_enabled`"};
}

DoctorCheck JudgeHugetlb(const HostLimits& limits) {
  if (limits.hugetlb_2m_total == 0) {
    return {"hugetlb pool", kPass,
            "empty: no backing=hugetlb until pages of 2 MiB are in it (/proc/sys/vm/nr_hugepages)",
            ""};
  }
  return {"hugetlb pool", kPass,
          absl::StrFormat("%d of %d pages of 2 MiB free", limits.hugetlb_2m_free,
                          limits.hugetlb_2m_total),
          ""};
}

DoctorCheck JudgeMapCount(const HostLimits& limits) {
  const std::string detail = absl::StrCat(limits.max_map_count, " mappings a process");
  if (limits.max_map_count >= kUsualMapCount) return {"vm.max_map_count", kPass, detail, ""};
  return {"vm.max_map_count", kWarn, detail,
          absl::StrFormat("`sudo sysctl vm.max_map_count=%d`", kUsualMapCount)};
}

DoctorCheck JudgeMemfd(const HostProbe& probe) {
  if (probe.memfd_errno == 0) return {"memfd", kPass, "usable", ""};
  return {"memfd", kWarn,
          absl::StrCat("memfd_create fails (", ErrorText(probe.memfd_errno), "): no backing=memfd"),
          "allow memfd_create(2) in the seccomp filter of the container, or use backing=anonymous"};
}

DoctorCheck JudgeIoUring(const HostLimits& limits, const HostProbe& probe) {
  constexpr char kLacks[] = ": no --pin-level guarded (the default) or pinned";
  constexpr char kElse[] = ", or run with `--pin-level resident`";
  if (probe.io_uring_errno != 0) {
    const std::string detail =
        absl::StrCat("io_uring_setup fails (", ErrorText(probe.io_uring_errno), ")", kLacks);
    if (limits.io_uring_disabled.value_or(0) != 0) {
      return {"io_uring", kWarn, detail,
              absl::StrCat("`sudo sysctl kernel.io_uring_disabled=0`", kElse)};
    }
    return {"io_uring", kWarn, detail,
            absl::StrCat("allow io_uring_setup(2) in the seccomp filter of the container (Linux "
                         "5.19 or newer)",
                         kElse)};
  }
  if (!probe.has_buffer_tables) {
    return {"io_uring", kWarn, absl::StrCat("no sparse tables of registered buffers", kLacks),
            absl::StrCat("boot Linux 5.19 or newer", kElse)};
  }
  return {"io_uring", kPass, "usable", ""};
}

DoctorCheck JudgeBufferCloning(const HostProbe& probe) {
  const std::string name = "io_uring buffer cloning";
  if (probe.has_buffer_cloning) return {name, kPass, "usable", ""};
  return {name, kWarn,
          "not there: pinned memory is pinned, and charged, again for each device ring",
          "boot Linux 6.12 or newer"};
}

std::string VerdictLabel(DoctorVerdict verdict, bool use_color) {
  switch (verdict) {
    case kPass:
      return Colored("PASS", TextColor::kGreen, use_color);
    case kWarn:
      return Colored("WARN", TextColor::kYellow, use_color);
    case kFail:
      return Colored("FAIL", TextColor::kRed, use_color);
  }
  return "";
}

}  // namespace

std::vector<DoctorCheck> JudgeHost(const HostLimits& limits, const HostProbe& probe) {
  std::vector<DoctorCheck> checks = {JudgeKvmOpen(probe)};
  JudgeCapabilities(probe, checks);
  checks.push_back(JudgeMemlock(limits));
  checks.push_back(JudgeCgroup(limits));
  checks.push_back(JudgeMemory(limits));
  checks.push_back(JudgeSwap(limits));
  checks.push_back(JudgeThp(limits));
  checks.push_back(JudgeShmemThp(limits));
  checks.push_back(JudgeHugetlb(limits));
  checks.push_back(JudgeMapCount(limits));
  checks.push_back(JudgeMemfd(probe));
  checks.push_back(JudgeIoUring(limits, probe));
  checks.push_back(JudgeBufferCloning(probe));
  return checks;
}

std::string FormatDoctorReport(const std::vector<DoctorCheck>& checks, bool use_color) {
  size_t widest = 0;
  for (const DoctorCheck& check : checks) widest = std::max(widest, check.name.size());
  std::string report;
  for (const DoctorCheck& check : checks) {
    absl::StrAppend(&report, VerdictLabel(check.verdict, use_color), "  ", check.name,
                    std::string(widest - check.name.size() + 2, ' '), check.detail, "\n");
    if (check.remedy.empty()) continue;
    // The remedy stands below the detail.
    absl::StrAppend(&report, std::string(widest + 8, ' '), "fix: ", check.remedy, "\n");
  }
  return report;
}

int DoctorExitStatus(const std::vector<DoctorCheck>& checks) {
  const bool failed = std::any_of(checks.begin(), checks.end(),
                                  [](const DoctorCheck& check) { return check.verdict == kFail; });
  return failed ? kExitHostLacks : kExitOk;
}

int RunDoctor() {
  const absl::StatusOr<HostLimits> limits = ReadHostLimits();
  if (!limits.ok()) {
    std::fprintf(stderr, "vmwire: %s\n", std::string(limits.status().message()).c_str());
    return kExitHostLacks;
  }
  const std::vector<DoctorCheck> checks = JudgeHost(*limits, ProbeHost());
  std::fputs(FormatDoctorReport(checks, MayUseColor(STDOUT_FILENO)).c_str(), stdout);
  return DoctorExitStatus(checks);
}

}  // namespace vmwire
