#include "memory/c_api/wire_runtime.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memory/lock_part.h"
#include "memory/populate.h"
#include "memory/wire_limits.h"

namespace vmwire {
namespace {

// Of a host that tells nothing, nothing is known to be limited: the host itself will refuse.
constexpr HostLimits UnknownLimits() {
  HostLimits limits;
  limits.memlock_soft = limits.memlock_hard = kUnlimited;
  limits.memory_available = kUnlimited;
  limits.max_map_count = kUnlimited;
  return limits;
}

// vm_map_wire_ex tells its caller every 2 MiB.
PopulateOptions PopulateFor(const HostLimits& limits) {
  return {.max_threads = static_cast<uint32_t>(std::min<uint64_t>(limits.usable_cpus, UINT32_MAX)),
          .chunk_bytes = kHugePageSize};
}

std::string BytesText(std::optional<uint64_t> bytes) {
  if (!bytes.has_value() || *bytes == kUnlimited) return "unlimited";
  return absl::StrCat(*bytes, " bytes");
}

// Nullopt: it does not bind this process.
std::optional<uint64_t> MemlockOf(const HostLimits& limits) {
  if (limits.may_exceed_memlock) return std::nullopt;
  return limits.memlock_soft;
}

std::optional<uint64_t> CgroupOf(const HostLimits& limits) {
  if (!limits.cgroup.has_value()) return std::nullopt;
  return limits.cgroup->limit;
}

}  // namespace

WireRuntime& WireRuntime::Get() {
  static WireRuntime& runtime = *new WireRuntime;
  return runtime;
}

// A guarded pin is bound by all that binds the other levels: its limits are those of the budget.
WireRuntime::WireRuntime()
    : limits_(ReadHostLimits().value_or(UnknownLimits())),
      budget_(WireLimits(limits_, PinLevel::kGuarded, std::nullopt)),
      mlock_pinner_(host_, PopulateFor(limits_), MaxLockedExtents(limits_.max_map_count)),
      uring_pinner_(host_, PopulateFor(limits_)),
      guarded_pinner_(host_, PopulateFor(limits_), MaxLockedExtents(limits_.max_map_count)),
      resident_(mlock_pinner_, budget_),
      pinned_(uring_pinner_, budget_),
      guarded_(guarded_pinner_, budget_) {}

PinTable& WireRuntime::table(PinLevel level) {
  switch (level) {
    case PinLevel::kResident:
      return resident_;
    case PinLevel::kPinned:
      return pinned_;
    case PinLevel::kGuarded:
      break;
  }
  return guarded_;
}

std::string WireRuntime::ChangedLimits() const {
  const absl::StatusOr<HostLimits> now = ReadHostLimits();
  if (!now.ok()) return "";
  std::string changes;
  const auto compare = [&changes](const char* name, const std::string& before,
                                  const std::string& after) {
    if (before != after) absl::StrAppend(&changes, ", ", name, " from ", before, " to ", after);
  };
  compare("RLIMIT_MEMLOCK", BytesText(MemlockOf(limits_)), BytesText(MemlockOf(*now)));
  compare("the memory cgroup's limit", BytesText(CgroupOf(limits_)), BytesText(CgroupOf(*now)));
  if (changes.empty()) return "";
  return absl::StrCat(
      "; since this process first used vmwire, which read the limits then, the host "
      "has changed",
      changes.substr(1), "; a higher limit counts after a restart only");
}

}  // namespace vmwire
