// The value of --cpu, from text to names of CPU features.
//
// Invariants: every name that was parsed is one of cpu_features.h.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_CPU_OPTION_H_
#define VMWIRE_VMM_CLI_CPU_OPTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace vmwire {

// The names of "hide=NAME[+NAME...]", in that order. InvalidArgument: another key than hide, no
// name, or one that no feature has (the nearest known one is named).
absl::StatusOr<std::vector<std::string>> ParseCpuOption(const std::string& text);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_CPU_OPTION_H_
