// One call of VmMap::Remove or RemoveWait: takes the entries of a range out of the map, once nobody
// depends on them.
//
// Their translations go first, so that no new hold can be made; then the holds that there are can
// be counted on to be all. If there is one, the translations come back, and nothing has changed.
//
// Invariants: an object of this class is used for one call.
// Thread safety: thread-compatible; takes the map's mutex itself.
#ifndef VMWIRE_MEMORY_MAP_REMOVAL_H_
#define VMWIRE_MEMORY_MAP_REMOVAL_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "memory/vm_map.h"

namespace vmwire {

class MapRemoval {
 public:
  // `wait`: for how long to wait for system wirings, tokens and holds; nullopt: they fail the call.
  MapRemoval(VmMap& map, const GuestRange& range, const std::optional<WaitLimits>& wait)
      : map_(map), range_(range), wait_(wait) {}

  // Errors as VmMap::Remove and RemoveWait.
  absl::Status Run() ABSL_LOCKS_EXCLUDED(map_.mutex_);

 private:
  // Waits until the range can go, and takes its translations away.
  absl::Status Prepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  // FailedPrecondition, naming the entry, if something in the map keeps the range.
  absl::Status CheckNotKept() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  // FailedPrecondition, naming the holder; the translations are then as before.
  absl::Status Unpublish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  absl::Status WaitForHolds() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  void TakeEntries() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);

  VmMap& map_;
  const GuestRange range_;
  const std::optional<WaitLimits> wait_;
  std::vector<VmMapEntry> taken_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_MAP_REMOVAL_H_
