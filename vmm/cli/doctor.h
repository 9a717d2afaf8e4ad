// `vmwire doctor`: what this host must give, each thing with a verdict and, where it falls short, a
// line that fixes it.
//
// Probing and judging are apart: ProbeHost tries the system calls, JudgeHost decides from what they
// and HostLimits say.
//
// Invariants: a check that fails or warns has a remedy. Nothing that is probed is left behind.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_DOCTOR_H_
#define VMWIRE_VMM_CLI_DOCTOR_H_

#include <string>
#include <vector>

#include "memory/host_limits.h"

namespace vmwire {

enum class DoctorVerdict {
  kPass,
  kWarn,  // Something will be slower, or is refused; guests do run.
  kFail,  // No guest runs, or none with wired memory.
};

struct DoctorCheck {
  std::string name;
  DoctorVerdict verdict = DoctorVerdict::kPass;
  std::string detail;
  std::string remedy;  // A command or a sentence; may be empty only for kPass.
};

// What the system calls said. An errno of 0 is success; of the others none is asked after one that
// failed.
struct HostProbe {
  int kvm_open_errno = 0;    // open("/dev/kvm")
  int kvm_create_errno = 0;  // KVM_CREATE_VM
  int kvm_api_version = 0;
  // KVM_CHECK_EXTENSION, KVM API documentation 4.4: 0 is "no".
  int user_memory = 0;
  int memory_slots = 0;
  int immediate_exit = 0;
  int readonly_memory = 0;
  int guest_memfd = 0;
  int guest_memfd_flags = 0;
  std::vector<std::string> kvm_modules;  // Of kvm_pvm, kvm_intel, kvm_amd.
  int memfd_errno = 0;                   // memfd_create(2)
  int io_uring_errno = 0;                // io_uring_setup(2)
  bool has_buffer_tables = false;        // Sparse tables of registered buffers.
  bool has_buffer_cloning = false;       // One ring's table in another.
};

// Tries everything once, and closes what it opened. `kvm_device` and `module_directory` are for
// tests.
HostProbe ProbeHost(const std::string& kvm_device = "/dev/kvm",
                    const std::string& module_directory = "/sys/module");

// The checks in the order in which they are shown.
std::vector<DoctorCheck> JudgeHost(const HostLimits& limits, const HostProbe& probe);

// A table: verdict, name, detail, and below each that has one the remedy.
std::string FormatDoctorReport(const std::vector<DoctorCheck>& checks, bool use_color);

// The exit status: 3 if any failed, else 0.
int DoctorExitStatus(const std::vector<DoctorCheck>& checks);

// All of the above, printed to stdout, in colour if that is a terminal; returns the exit status.
int RunDoctor();

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_DOCTOR_H_
