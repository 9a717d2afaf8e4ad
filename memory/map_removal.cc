#include "memory/map_removal.h"

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/hold_table.h"
#include "memory/read_section.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::Status MapRemoval::Run() {
  {
    const MutexLock lock(map_.mutex_);
    VMWIRE_RETURN_IF_ERROR(Prepare());
    TakeEntries();
  }
  for (const VmMapEntry& entry : taken_) {
    if (entry.user_wired) PinTable::Unwire(*entry.object, entry.Pages());
    if (!entry.IsGuard()) entry.object->RemoveMapping(entry.Pages());
  }
  // Readers may still be copying bytes through translations that are gone; their memory stays
  // mapped until they are done.
  if (!taken_.empty()) SynchronizeReaders();
  taken_.clear();
  return absl::OkStatus();
}

absl::Status MapRemoval::Prepare() {
  const WaitLimits limits = wait_.value_or(WaitLimits{});
  while (true) {
    VMWIRE_RETURN_IF_ERROR(map_.WaitForTransitions(range_, limits));
    VMWIRE_RETURN_IF_ERROR(map_.CheckClip(range_.start()));
    VMWIRE_RETURN_IF_ERROR(map_.CheckClip(range_.end()));
    absl::Status kept = CheckNotKept();
    if (!kept.ok()) {
      if (!wait_.has_value()) return kept;
      VMWIRE_RETURN_IF_ERROR(map_.removers_.Wait(
          map_.mutex_, *wait_, "waiting to remove: " + std::string(kept.message())));
      continue;
    }
    absl::Status held = Unpublish();
    if (held.ok() || !wait_.has_value()) return held;
    VMWIRE_RETURN_IF_ERROR(WaitForHolds());
  }
}

absl::Status MapRemoval::CheckNotKept() const {
  for (auto it = map_.FirstEndingAfter(range_.start());
       it != map_.entries_.end() && it->first < range_.end(); ++it) {
    if (it->second.IsKept()) {
      return absl::FailedPreconditionError(
          absl::StrFormat("%s cannot be removed: system wirings or tokens depend on it, entry %s; "
                          "unwire it first",
                          range_.ToString(), ToString(it->second)));
    }
  }
  return absl::OkStatus();
}

absl::Status MapRemoval::Unpublish() {
  map_.ClipAt(range_.start());
  map_.ClipAt(range_.end());
  map_.PublishWithout(range_);
  const std::optional<Holder> holder = HoldTable::FirstHolder(&map_, range_);
  if (!holder.has_value()) return absl::OkStatus();
  map_.Publish(range_);
  map_.MergeAround(range_);
  return absl::FailedPreconditionError(
      absl::StrFormat("%s cannot be removed: %s", range_.ToString(), ToString(*holder)));
}

absl::Status MapRemoval::WaitForHolds() {
  HoldWatch watch;
  const std::optional<Holder> holder = HoldTable::FirstHolderFenced(&map_, range_);
  if (!holder.has_value()) return absl::OkStatus();
  map_.mutex_.Unlock();
  absl::Status released = watch.WaitForRelease(
      *wait_, absl::StrFormat("waiting to remove %s: %s", range_.ToString(), ToString(*holder)));
  map_.mutex_.Lock();
  return released;
}

void MapRemoval::TakeEntries() {
  auto it = map_.entries_.lower_bound(range_.start());
  while (it != map_.entries_.end() && it->first < range_.end()) {
    if (it->second.user_wired) map_.user_wired_pages_ -= it->second.range.pages();
    taken_.push_back(std::move(it->second));
    it = map_.entries_.erase(it);
  }
}

}  // namespace vmwire
