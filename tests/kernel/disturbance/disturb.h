// The disturbances of pin_promises.h, done to a wired region on the running kernel, and beside it
// to memory that nothing holds: what does nothing there has shown nothing.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_DISTURBANCE_DISTURB_H_
#define VMWIRE_TESTS_KERNEL_DISTURBANCE_DISTURB_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/pin_promises.h"
#include "tests/kernel/disturbance/host_settings.h"
#include "tests/kernel/disturbance/unheld_memory.h"
#include "tests/kernel/disturbance/wired_region.h"

namespace vmwire {

// What the host is set to for one disturbance.
class DisturbanceHost {
 public:
  // In the process that will put it back, when this goes. Unavailable, saying what is missing.
  absl::Status Prepare(Disturbance disturbance);
  // In its child, before the region is made: what that process needs. Unavailable: as Prepare.
  absl::Status Enter(Disturbance disturbance);

 private:
  HostSettings settings_;
  std::string cgroup_;  // For kPressure: the file to enter the memory cgroup by.
  std::unique_ptr<UnheldMemory> sparse_;
};

struct Effect {
  int error = 0;  // The errno of the kernel's refusal; 0: none.
  // What the library said to each attempt to have it break the region; the attempts that it
  // agreed to are OK.
  std::vector<absl::Status> library = {};
  std::string note = {};  // What it did to memory that nothing holds, and how.

  // "EINVAL", "done".
  std::string ToString() const;
};

// Unavailable: it cannot be done here; the message says why.
absl::StatusOr<Effect> Disturb(WiredRegion& region, Disturbance disturbance);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_DISTURBANCE_DISTURB_H_
