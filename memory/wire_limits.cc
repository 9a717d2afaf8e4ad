#include "memory/wire_limits.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace vmwire {
namespace {

uint64_t Left(uint64_t limit, uint64_t used) { return used < limit ? limit - used : 0; }

}  // namespace

std::vector<WireBudget::Limit> WireLimits(const HostLimits& host, PinLevel level,
                                          std::optional<uint64_t> configured) {
  std::vector<WireBudget::Limit> limits;
  if (configured.has_value()) {
    limits.push_back({"the wire limit", *configured, "raise it, or wire less memory"});
  }
  if (!host.may_exceed_memlock && host.memlock_soft != kUnlimited) {
    // At kGuarded a page is locked and pinned: whichever has less room binds.
    const uint64_t used = level == PinLevel::kResident ? host.locked_bytes
                          : level == PinLevel::kPinned
                              ? host.pinned_bytes
                              : std::max(host.locked_bytes, host.pinned_bytes);
    limits.push_back(
        {"RLIMIT_MEMLOCK", Left(host.memlock_soft, used),
         absl::StrFormat(
             "raise it (ulimit -l %s; for good in /etc/security/limits.conf), or wire less memory",
             host.memlock_hard == kUnlimited ? "unlimited" : "SIZE_IN_KIB, as root")});
  }
  if (host.cgroup.has_value()) {
    limits.push_back({absl::StrFormat("the memory cgroup %s", host.cgroup->path),
                      host.cgroup->room(), "raise its limit, or wire less memory"});
  }
  limits.push_back({"the host's available memory", host.memory_available,
                    "free memory on the host, or wire less"});
  return limits;
}

}  // namespace vmwire
