// What all maps and objects of the C API share: the host, its limits, one budget, and a pinner with
// its table for each pin level.
//
// Invariants: made by the first call that needs it, and never destroyed, since handles and pages
// may outlive main. The limits are those of that moment.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_C_API_WIRE_RUNTIME_H_
#define VMWIRE_MEMORY_C_API_WIRE_RUNTIME_H_

#include <string>

#include "memory/guarded_pinner.h"
#include "memory/host_limits.h"
#include "memory/host_memory_linux.h"
#include "memory/mlock_pinner.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/uring_pinner.h"
#include "memory/wire_budget.h"

namespace vmwire {

class WireRuntime {
 public:
  static WireRuntime& Get();

  HostMemory& host() { return host_; }
  PinTable& table(PinLevel level);

  // "; the limits were read once ..., and RLIMIT_MEMLOCK is ... now": which limits of the host are
  // others than when they were read; empty if none is.
  std::string ChangedLimits() const;

 private:
  WireRuntime();

  HostMemoryLinux host_;
  const HostLimits limits_;
  WireBudget budget_;
  MlockPinner mlock_pinner_;
  UringPinner uring_pinner_;
  GuardedPinner guarded_pinner_;
  PinTable resident_;
  PinTable pinned_;
  PinTable guarded_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_C_API_WIRE_RUNTIME_H_
