#include "memory/mlock_pinner.h"

#include "absl/strings/str_cat.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

absl::Status WithRemedy(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status) && !absl::IsPermissionDenied(status)) return status;
  return absl::Status(status.code(),
                      absl::StrCat(std::string(status.message()),
                                   "; raise RLIMIT_MEMLOCK (ulimit -l), or wire less memory"));
}

}  // namespace

absl::StatusOr<PinnedExtent> MlockPinner::Pin(const HostRange& range, const PinProgress& progress) {
  absl::Status pinned = WithRemedy(host_.Lock(range));
  if (pinned.ok()) pinned = Populate(host_, range, populate_, progress);
  if (!pinned.ok()) {
    // A lock that failed may have locked a part.
    host_.Unlock(range);
    return pinned;
  }
  return PinnedExtent{range, {}};
}

void MlockPinner::Unpin(const PinnedExtent& extent) { host_.Unlock(extent.host); }

}  // namespace vmwire
