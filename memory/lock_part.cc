#include "memory/lock_part.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/retry.h"

namespace vmwire {
namespace {

// Mappings of the process that are not locked guest memory: the program, its libraries, its
// threads.
constexpr uint64_t kOtherMappings = 4096;

absl::Status WithRemedy(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status) && !absl::IsPermissionDenied(status)) return status;
  return absl::Status(status.code(),
                      absl::StrCat(std::string(status.message()),
                                   "; raise RLIMIT_MEMLOCK (ulimit -l), or wire less memory"));
}

}  // namespace

uint64_t MaxLockedExtents(uint64_t max_map_count) {
  // Each extent given back leaves at most one more mapping on each side of it.
  return max_map_count > kOtherMappings ? (max_map_count - kOtherMappings) / 2 : 0;
}

absl::Status LockPart::Lock(const HostRange& range) {
  if (!TakeExtent()) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "locking host memory %s needs one more locked extent than the %d that vm.max_map_count "
        "allows; raise vm.max_map_count, or wire fewer, larger ranges",
        range.ToString(), max_extents_));
  }
  const absl::Status locked = RetryTransient([&] { return host_.Lock(range); });
  if (locked.ok()) return absl::OkStatus();
  // A lock that failed may have locked a part.
  Unlock(range);
  return WithRemedy(locked);
}

void LockPart::Unlock(const HostRange& range) {
  host_.Unlock(range);
  const MutexLock lock(mutex_);
  --extents_;
}

uint64_t LockPart::FreeExtents() const {
  const MutexLock lock(mutex_);
  return max_extents_ - extents_;
}

bool LockPart::TakeExtent() {
  const MutexLock lock(mutex_);
  if (extents_ >= max_extents_) return false;
  ++extents_;
  return true;
}

}  // namespace vmwire
