#include "memory/wiring.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr unsigned kKnownFlags = static_cast<unsigned>(WireFlags::kUser) |
                                 static_cast<unsigned>(WireFlags::kHolesOk) |
                                 static_cast<unsigned>(WireFlags::kWrite);

bool IsReadable(const VmMapEntry& entry) {
  return (entry.protection & (Protection::kRead | Protection::kExecute)) != Protection::kNone;
}

}  // namespace

Wiring::Wiring(VmMap& map, const GuestRange& range, WireFlags flags, Owner owner,
               const WireOptions& options)
    : map_(map),
      flags_(flags),
      owner_(owner),
      options_(options),
      asked_(range),
      range_(range.Intersect(GuestRange::Between(map.options_.min, map.options_.max))) {}

absl::Status Wiring::Wire() {
  VMWIRE_RETURN_IF_ERROR(Report(CheckFlags()));
  absl::Status wired;
  {
    const MutexLock lock(map_.mutex_);
    if (!WireAgain()) wired = WireLocked();
  }
  ReleasePins();
  return Report(std::move(wired));
}

absl::Status Wiring::Unwire() {
  VMWIRE_RETURN_IF_ERROR(CheckFlags());
  absl::Status unwired;
  {
    const MutexLock lock(map_.mutex_);
    if (!UnwireOneOfSeveral()) unwired = UnwireLocked();
  }
  ReleasePins();
  return unwired;
}

absl::Status Wiring::CheckFlags() {
  if ((static_cast<uint8_t>(flags_) & ~kKnownFlags) == 0) return absl::OkStatus();
  return Fail(
      WireFailure::kNone, asked_.start(),
      absl::InvalidArgumentError(absl::StrFormat(
          "unknown wire flags 0x%x for %s", static_cast<unsigned>(flags_), asked_.ToString())));
}

VmMapEntry* Wiring::SingleEntry() {
  if (!range_.has_value()) return nullptr;
  const auto it = map_.entries_.find(range_->start());
  if (it == map_.entries_.end()) return nullptr;
  VmMapEntry& entry = it->second;
  // Cuts of VmMap::Clip at its ends are forgotten elsewhere.
  const auto above = std::next(it);
  const bool clipped = entry.clipped || (above != map_.entries_.end() && above->second.clipped);
  const bool whole = entry.range == *range_ && !clipped;
  return whole && entry.transition == nullptr ? &entry : nullptr;
}

bool Wiring::WireAgain() {
  VmMapEntry* entry = SingleEntry();
  if (entry == nullptr || user() || entry->system_wires == 0 ||
      entry->system_wires >= map_.options_.max_system_wires || !IsReadable(*entry) ||
      (Has(flags_, WireFlags::kWrite) && !Allows(entry->protection, Protection::kWrite))) {
    return false;
  }
  CountWire(*entry);
  map_.MergeAround(*range_);
  return true;
}

bool Wiring::UnwireOneOfSeveral() {
  VmMapEntry* entry = SingleEntry();
  if (entry == nullptr || user() || entry->system_wires < 2 || !IsUnwirable(*entry)) return false;
  CountUnwire(*entry);
  map_.MergeAround(*range_);
  return true;
}

absl::Status Wiring::WireLocked() {
  if (!range_.has_value()) return CheckHole(asked_.start(), asked_.end());
  absl::Status wired = Preflight();
  if (wired.ok()) wired = Acquire();
  if (wired.ok()) {
    Commit();
    map_.MergeClipped(*range_);
  } else {
    Undo();
    map_.MergeAround(*range_);
  }
  transition_.waiters().WakeAll();
  return wired;
}

absl::Status Wiring::WireInserted() {
  absl::Status wired = Preflight();
  if (wired.ok()) wired = Acquire();
  if (wired.ok()) {
    Commit();
    map_.MergeClipped(*range_);
  } else {
    Undo();
    // It was in transition until now, so nobody else has wired it or taken it away.
    const auto first = map_.entries_.find(range_->start());
    map_.entries_.erase(first, map_.entries_.lower_bound(range_->end()));
  }
  transition_.waiters().WakeAll();
  return wired;
}

absl::Status Wiring::Acquire() {
  GuestAddress at = range_->start();
  while (at < range_->end()) {
    const auto it = map_.FirstEndingAfter(at);
    const GuestAddress next =
        it == map_.entries_.end() ? range_->end() : std::min(it->first, range_->end());
    if (at < next) {
      VMWIRE_RETURN_IF_ERROR(CheckHole(at, next));
      at = next;
      continue;
    }
    if (it->second.transition != nullptr) {
      // Whatever is at this address afterwards is looked at anew.
      VMWIRE_RETURN_IF_ERROR(FailStopped(map_.WaitForTransition(it->second, options_.limits)));
      continue;
    }
    VMWIRE_RETURN_IF_ERROR(ClipToRange(GuestRange(it->second.range)));
    VmMapEntry& entry = map_.FirstEndingAfter(at)->second;
    const GuestAddress end = entry.range.end();
    VMWIRE_RETURN_IF_ERROR(AcquireEntry(entry));
    at = end;
  }
  return absl::OkStatus();
}

absl::Status Wiring::ClipToRange(const GuestRange& entry) {
  for (const GuestAddress cut : {range_->start(), range_->end()}) {
    if (!entry.Contains(cut)) continue;
    if (absl::Status checked = map_.CheckClip(cut); !checked.ok()) {
      return Fail(WireFailure::kNotSplittable, entry.start(), std::move(checked));
    }
    map_.ClipAt(cut);
  }
  return absl::OkStatus();
}

absl::Status Wiring::AcquireEntry(VmMapEntry& entry) {
  const GuestRange range = entry.range;
  if (absl::Status obstacle = CheckWirable(entry); !obstacle.ok()) {
    report_.pages_skipped += holes_ok() ? range.pages() : 0;
    return holes_ok() ? absl::OkStatus() : obstacle;
  }
  VMWIRE_RETURN_IF_ERROR(CheckCounts(entry));
  entry.transition = &transition_;
  if (user() && !entry.user_wired) {
    // Charged now, so that two calls cannot both take what is left.
    user_pages_ += range.pages();
    map_.user_wired_pages_ += range.pages();
  }
  if (!entry.IsWired()) VMWIRE_RETURN_IF_ERROR(PinEntry(entry));
  pinned_end_ = range.end();
  return absl::OkStatus();
}

absl::Status Wiring::PinEntry(VmMapEntry entry) {
  PinRequest request{.progress = Progress(), .limits = options_.limits, .failed_page = {}};
  const PageRun pages = entry.Pages();
  map_.mutex_.Unlock();
  const uint64_t to_pin =
      request.progress ? PinTable::MissingIn(*entry.object, pages).pages * kPageSize : 0;
  absl::Status pinned = map_.pins().Wire(*entry.object, pages, request);
  map_.mutex_.Lock();
  if (!pinned.ok()) return FailPin(entry, request, pinned);
  bytes_done_ += to_pin;
  return absl::OkStatus();
}

PinProgress Wiring::Progress() {
  const bool limited = options_.limits.deadline.has_value() || options_.limits.stop.stop_possible();
  if (!options_.progress && !limited) return nullptr;
  return [this](uint64_t bytes) {
    const uint64_t done = bytes_done_ + bytes;
    // What is done in time is not undone for want of time to say so.
    if (done < bytes_total_) stopped_ = options_.limits.Check("wiring " + asked_.ToString());
    if (!stopped_.ok()) return false;
    return !options_.progress || options_.progress(done, bytes_total_);
  };
}

absl::Status Wiring::CheckHole(GuestAddress at, GuestAddress next) {
  if (holes_ok()) {
    if (range_.has_value()) report_.pages_skipped += (next.value() - at.value()) / kPageSize;
    return absl::OkStatus();
  }
  return Fail(WireFailure::kHole, at,
              absl::NotFoundError(absl::StrFormat("nothing is mapped in [0x%x, 0x%x) of %s",
                                                  at.value(), next.value(), asked_.ToString())));
}

absl::Status Wiring::CheckWirable(const VmMapEntry& entry) {
  WireFailure failure = WireFailure::kNone;
  const char* lacks = nullptr;
  if (entry.IsGuard()) {
    failure = WireFailure::kGuard;
    lacks = "a guard";
  } else if (!IsReadable(entry)) {
    failure = WireFailure::kUnreadable;
    lacks = "neither readable nor executable";
  } else if (Has(flags_, WireFlags::kWrite) && !Allows(entry.protection, Protection::kWrite)) {
    failure = WireFailure::kNotWritable;
    lacks = "not writable";
  } else {
    return absl::OkStatus();
  }
  absl::Status denied = absl::PermissionDeniedError(
      absl::StrFormat("cannot wire %s: entry %s is %s", asked_.ToString(), ToString(entry), lacks));
  if (holes_ok()) return denied;
  return Fail(failure, std::max(entry.range.start(), range_->start()), std::move(denied));
}

absl::Status Wiring::CheckCounts(const VmMapEntry& entry) {
  if (!user() && entry.system_wires >= map_.options_.max_system_wires) {
    return Fail(WireFailure::kCountMaximum, entry.range.start(),
                absl::ResourceExhaustedError(absl::StrFormat(
                    "cannot wire %s: entry %s has %d wirings, the most there can be; unwire it "
                    "first",
                    asked_.ToString(), ToString(entry), entry.system_wires)));
  }
  const uint64_t limit = map_.user_wire_limit_;
  const uint64_t used = map_.user_wired_pages_;
  const uint64_t left = used < limit ? limit - used : 0;
  if (!user() || entry.user_wired || entry.range.pages() <= left) return absl::OkStatus();
  return FailLimit(entry.range.start(), entry.range.pages(), left,
                   absl::ResourceExhaustedError(absl::StrFormat(
                       "cannot wire %s: entry %s needs %d pages, %d are in use, and the map's user "
                       "limit is %d pages; "
                       "raise it, or unwire something",
                       asked_.ToString(), ToString(entry), entry.range.pages(), used, limit)));
}

template <typename Visit>
void Wiring::ForEachMarked(Visit visit) {
  for (auto it = map_.FirstEndingAfter(range_->start());
       it != map_.entries_.end() && it->first < range_->end(); ++it) {
    if (it->second.transition == &transition_) visit(it->second);
  }
}

void Wiring::Commit() {
  ForEachMarked([this](VmMapEntry& entry) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    entry.transition = nullptr;
    if (user() && entry.user_wired) {
      report_.pages_wired += entry.range.pages();
    } else {
      CountWire(entry);
    }
  });
}

void Wiring::CountWire(VmMapEntry& entry) {
  map_.was_wired_ = true;
  if (user()) {
    entry.user_wired = true;
  } else {
    ++entry.system_wires;
    if (owner_ == Owner::kToken) ++entry.token_wires;
  }
  report_.pages_wired += entry.range.pages();
  if (!pieces_.empty() && pieces_.back().end() == entry.range.start()) {
    pieces_.back() = GuestRange::Between(pieces_.back().start(), entry.range.end());
  } else {
    pieces_.push_back(entry.range);
  }
}

void Wiring::Undo() {
  ForEachMarked([this](VmMapEntry& entry) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    entry.transition = nullptr;
    // Marked, below where it ended, and not wired: this call has pinned it.
    if (!entry.IsWired() && entry.range.start() < pinned_end_) {
      unpinned_.push_back({entry.object, entry.Pages()});
    }
  });
  map_.user_wired_pages_ -= user_pages_;
}

absl::Status Wiring::UnwireLocked() {
  if (!range_.has_value()) return CheckHole(asked_.start(), asked_.end());
  VMWIRE_RETURN_IF_ERROR(CheckUnwirable());
  map_.ClipAt(range_->start());
  map_.ClipAt(range_->end());
  for (auto it = map_.FirstEndingAfter(range_->start());
       it != map_.entries_.end() && it->first < range_->end(); ++it) {
    if (IsUnwirable(it->second)) CountUnwire(it->second);
  }
  map_.MergeClipped(*range_);
  map_.removers_.WakeAll();
  return absl::OkStatus();
}

absl::Status Wiring::CheckUnwirable() {
  GuestAddress at = range_->start();
  while (at < range_->end()) {
    const auto it = map_.FirstEndingAfter(at);
    const GuestAddress next =
        it == map_.entries_.end() ? range_->end() : std::min(it->first, range_->end());
    if (at < next) {
      VMWIRE_RETURN_IF_ERROR(CheckHole(at, next));
      at = next;
      continue;
    }
    const VmMapEntry& entry = it->second;
    if (entry.transition != nullptr) {
      VMWIRE_RETURN_IF_ERROR(map_.WaitForTransition(entry, options_.limits));
      at = range_->start();  // Nothing was changed; and what was looked at may be.
      continue;
    }
    if (!IsUnwirable(entry) && !user() && !holes_ok()) {
      // FreeBSD looks for a gap behind the entry first.
      const auto above = std::next(it);
      const bool gap = entry.range.end() < range_->end() &&
                       (above == map_.entries_.end() || entry.range.end() < above->first);
      if (gap) return CheckHole(entry.range.end(), range_->end());
      return absl::FailedPreconditionError(
          absl::StrFormat("cannot unwire %s: entry %s has no system wiring but those of tokens",
                          asked_.ToString(), ToString(entry)));
    }
    at = std::min(entry.range.end(), range_->end());
  }
  VMWIRE_RETURN_IF_ERROR(map_.CheckClip(range_->start()));
  return map_.CheckClip(range_->end());
}

bool Wiring::IsUnwirable(const VmMapEntry& entry) const {
  if (user()) return entry.user_wired;
  return (owner_ == Owner::kToken ? entry.token_wires : entry.OwnerlessWires()) != 0;
}

void Wiring::CountUnwire(VmMapEntry& entry) {
  if (user()) {
    entry.user_wired = false;
    map_.user_wired_pages_ -= entry.range.pages();
  } else {
    --entry.system_wires;
    if (owner_ == Owner::kToken) --entry.token_wires;
  }
  if (!entry.IsWired()) unpinned_.push_back({entry.object, entry.Pages()});
}

void Wiring::ReleasePins() {
  for (const Unpinned& pages : unpinned_) PinTable::Unwire(*pages.object, pages.run);
}

}  // namespace vmwire
