// What a launch says of an error: the error, and the options of `vmwire run` that help.
//
// Invariants: the code stays, but for errors of KVM at calls whose arguments are ours.
// Thread safety: no state.
#ifndef VMWIRE_VMM_MACHINE_ERRORS_H_
#define VMWIRE_VMM_MACHINE_ERRORS_H_

#include "absl/status/status.h"
#include "vmm/machine_config.h"

namespace vmwire {

// An error of making and mapping guest memory.
absl::Status OfMapping(const absl::Status& status, const MachineConfig& config);

// An error of wiring it.
absl::Status OfWiring(const absl::Status& status, const MachineConfig& config);

// An error of KVM at a call whose arguments are ours, not the user's: Internal, where it says that
// they are wrong.
absl::Status OfKvm(const absl::Status& status);

}  // namespace vmwire

#endif  // VMWIRE_VMM_MACHINE_ERRORS_H_
