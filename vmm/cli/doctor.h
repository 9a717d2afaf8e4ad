// `vmwire doctor`: what this host must give, each thing with a verdict and, where it falls short, a
// line that fixes it.
//
// Probing and judging are apart: ProbeHost (host_probe.h) tries the system calls, JudgeHost decides
// from what they and HostLimits say.
//
// Invariants: a check that fails or warns has a remedy.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_DOCTOR_H_
#define VMWIRE_VMM_CLI_DOCTOR_H_

#include <string>
#include <vector>

#include "memory/host_limits.h"
#include "vmm/cli/host_probe.h"

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
