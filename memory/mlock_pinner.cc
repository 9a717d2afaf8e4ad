#include "memory/mlock_pinner.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

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

absl::StatusOr<PinnedExtent> MlockPinner::Pin(const HostRange& range, const PinProgress& progress) {
  if (extents_ >= max_extents_) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "locking host memory %s needs one more locked extent than the %d that vm.max_map_count "
        "allows; raise vm.max_map_count, or wire fewer, larger ranges",
        range.ToString(), max_extents_));
  }
  absl::Status pinned = WithRemedy(host_.Lock(range));
  if (pinned.ok()) pinned = Populate(host_, range, populate_, progress);
  if (!pinned.ok()) {
    // A lock that failed may have locked a part.
    host_.Unlock(range);
    return pinned;
  }
  ++extents_;
  return PinnedExtent{range, {}};
}

void MlockPinner::Unpin(const PinnedExtent& extent) {
  host_.Unlock(extent.host);
  --extents_;
}

}  // namespace vmwire
