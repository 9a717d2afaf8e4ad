// The limits of a WireBudget on this host: what may be locked or pinned, by which rule, and what
// raises it.
//
// Invariants: each limit is what is left for this process, what it and others use already taken
// off.
// Thread safety: no state.
#ifndef VMWIRE_MEMORY_WIRE_LIMITS_H_
#define VMWIRE_MEMORY_WIRE_LIMITS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "memory/host_limits.h"
#include "memory/pinner.h"
#include "memory/wire_budget.h"

namespace vmwire {

// RLIMIT_MEMLOCK, unless CAP_IPC_LOCK lifts it (the kernel checks it apart for locks and for pins);
// the memory cgroup; the memory that the host has left; and `configured`, in bytes, if given.
std::vector<WireBudget::Limit> WireLimits(const HostLimits& host, PinLevel level,
                                          std::optional<uint64_t> configured);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WIRE_LIMITS_H_
