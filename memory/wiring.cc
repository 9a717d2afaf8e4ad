#include "memory/wiring.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr unsigned kKnownFlags = static_cast<unsigned>(WireFlags::kUser) |
                                 static_cast<unsigned>(WireFlags::kHolesOk) |
                                 static_cast<unsigned>(WireFlags::kWrite);

std::optional<GuestRange> Clamp(const GuestRange& range, GuestAddress min, GuestAddress max) {
  return range.Intersect(GuestRange::Between(min, max));
}

// The object's pages behind the part of `entry` that lies in `range`.
PageRun PagesIn(const VmMapEntry& entry, const GuestRange& range) {
  const GuestRange part = *entry.range.Intersect(range);
  const uint64_t first = entry.OffsetOf(part.start()) / kPageSize;
  return {first, first + part.pages()};
}

}  // namespace

Wiring::Wiring(VmMap& map, const GuestRange& range, WireFlags flags, Owner owner,
               const WireProgress& progress)
    : map_(map),
      flags_(flags),
      owner_(owner),
      progress_(progress),
      range_(Clamp(range, map.options_.min, map.options_.max)),
      asked_(range) {}

absl::Status Wiring::CheckFlags() const {
  if ((static_cast<uint8_t>(flags_) & ~kKnownFlags) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "unknown wire flags 0x%x for %s", static_cast<unsigned>(flags_), asked_.ToString()));
}

absl::Status Wiring::Wire() {
  VMWIRE_RETURN_IF_ERROR(CheckFlags());
  VMWIRE_RETURN_IF_ERROR(Preflight());
  absl::Status wired = ForEachEntry(&Wiring::WireEntry);
  if (wired.ok()) {
    CommitWire();
  } else {
    UndoWire();
  }
  if (range_.has_value()) map_.MergeAround(*range_);
  return wired;
}

absl::Status Wiring::Unwire() {
  VMWIRE_RETURN_IF_ERROR(CheckFlags());
  absl::Status checked = ForEachEntry(&Wiring::CheckUnwirable);
  if (checked.ok()) CommitUnwire();
  if (range_.has_value()) map_.MergeAround(*range_);
  return checked;
}

absl::Status Wiring::ForEachEntry(Visit visit) {
  if (!range_.has_value()) return CheckHole(asked_.start(), asked_.end());
  GuestAddress at = range_->start();
  while (at < range_->end()) {
    auto it = map_.FirstEndingAfter(at);
    const GuestAddress next =
        it == map_.entries_.end() ? range_->end() : std::min(it->first, range_->end());
    if (at < next) {
      VMWIRE_RETURN_IF_ERROR(CheckHole(at, next));
      at = next;
      continue;
    }
    map_.ClipAt(at);
    map_.ClipAt(range_->end());
    VmMapEntry& entry = EntryAt(at);
    VMWIRE_RETURN_IF_ERROR((this->*visit)(entry));
    at = entry.range.end();
  }
  return absl::OkStatus();
}

absl::Status Wiring::CheckHole(GuestAddress at, GuestAddress next) const {
  if (holes_ok()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrFormat("nothing is mapped in [0x%x, 0x%x) of %s", at.value(),
                                             next.value(), asked_.ToString()));
}

bool Wiring::BeginsWithObstacle() const {
  const VmMapEntry* first = map_.Lookup(range_->start());
  if (first == nullptr || !CheckWirable(*first).ok()) return !holes_ok();
  const uint64_t object_pages = first->object->size() / kPageSize;
  return !first->IsWired() && PagesIn(*first, *range_).end > object_pages;
}

absl::Status Wiring::Preflight() {
  if (!range_.has_value()) return absl::OkStatus();
  // It is what the walk will report; the walk faults nothing in before that.
  if (BeginsWithObstacle()) return absl::OkStatus();
  uint64_t pages = 0;
  // Pages that two entries of the range share are pinned once.
  std::map<const VmObject*, RangeCounts> seen;
  for (auto it = map_.FirstEndingAfter(range_->start());
       it != map_.entries_.end() && it->first < range_->end(); ++it) {
    const VmMapEntry& entry = it->second;
    if (entry.IsWired() || !CheckWirable(entry).ok()) continue;
    const PageRun run = PagesIn(entry, *range_);
    RangeCounts& counts = seen[entry.object.get()];
    counts.ForEachWithCount(run, 0, [&](const PageRun& fresh) {
      pages += map_.pins_.UnpinnedPages(*entry.object, fresh);
    });
    counts.Increment(run);
  }
  bytes_total_ = pages * kPageSize;
  absl::Status fits = map_.pins_.budget().CheckFits(bytes_total_);
  if (fits.ok()) return fits;
  return absl::Status(fits.code(), absl::StrCat("cannot wire ", asked_.ToString(), ": ",
                                                std::string(fits.message())));
}

absl::Status Wiring::CheckWirable(const VmMapEntry& entry) const {
  const bool accessible =
      (entry.protection & (Protection::kRead | Protection::kExecute)) != Protection::kNone;
  const bool writable =
      Allows(entry.protection, Protection::kWrite) || !Has(flags_, WireFlags::kWrite);
  if (accessible && writable) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrFormat("cannot wire %s: entry %s is not %s",
                                                     asked_.ToString(), ToString(entry),
                                                     accessible ? "writable" : "accessible"));
}

absl::Status Wiring::CheckCounts(const VmMapEntry& entry) const {
  if (!user() && entry.system_wires >= map_.options_.max_system_wires) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("cannot wire %s: entry %s has %d wirings, the most there can be",
                        asked_.ToString(), ToString(entry), entry.system_wires));
  }
  const uint64_t limit = map_.options_.user_wire_limit;
  const uint64_t used = map_.user_wired_pages_ + user_pages_;
  if (user() && !entry.user_wired && (used > limit || entry.range.pages() > limit - used)) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "cannot wire %s: entry %s needs %d pages, %d are in use, and the map's user limit is %d",
        asked_.ToString(), ToString(entry), entry.range.pages(), used, limit));
  }
  return absl::OkStatus();
}

absl::Status Wiring::WireEntry(VmMapEntry& entry) {
  if (absl::Status obstacle = CheckWirable(entry); !obstacle.ok())
    return holes_ok() ? absl::OkStatus() : obstacle;
  VMWIRE_RETURN_IF_ERROR(CheckCounts(entry));
  // A user wiring does not nest: there is nothing to do, and so nothing to undo.
  if (user() && entry.user_wired) return absl::OkStatus();
  if (!entry.IsWired()) VMWIRE_RETURN_IF_ERROR(PinEntry(entry));
  if (user()) user_pages_ += entry.range.pages();
  done_.push_back(entry.range);
  return absl::OkStatus();
}

absl::Status Wiring::PinEntry(const VmMapEntry& entry) {
  const PageRun pages = entry.Pages();
  const uint64_t to_pin = map_.pins_.UnpinnedPages(*entry.object, pages) * kPageSize;
  PinProgress progress;
  if (progress_) {
    progress = [this](uint64_t bytes) { return progress_(bytes_done_ + bytes, bytes_total_); };
  }
  absl::Status pinned = map_.pins_.Wire(*entry.object, pages, progress);
  if (!pinned.ok()) {
    return absl::Status(pinned.code(),
                        absl::StrFormat("cannot wire %s at entry %s: %s", asked_.ToString(),
                                        ToString(entry), std::string(pinned.message())));
  }
  bytes_done_ += to_pin;
  return absl::OkStatus();
}

void Wiring::CommitWire() {
  for (const GuestRange& range : done_) {
    VmMapEntry& entry = EntryAt(range.start());
    if (user()) {
      entry.user_wired = true;
    } else {
      ++entry.system_wires;
      if (owner_ == Owner::kToken) ++entry.token_wires;
    }
    if (!pieces_.empty() && pieces_.back().end() == range.start()) {
      pieces_.back() = GuestRange::Between(pieces_.back().start(), range.end());
    } else {
      pieces_.push_back(range);
    }
  }
  map_.user_wired_pages_ += user_pages_;
}

void Wiring::UndoWire() {
  for (auto range = done_.rbegin(); range != done_.rend(); ++range) {
    const VmMapEntry& entry = EntryAt(range->start());
    // The counters change at commit only; so an entry that is not wired yet is one whose pages this
    // call pinned.
    if (!entry.IsWired()) map_.pins_.Unwire(*entry.object, entry.Pages());
  }
}

absl::Status Wiring::CheckUnwirable(VmMapEntry& entry) {
  const uint32_t wirings = owner_ == Owner::kToken ? entry.token_wires : entry.OwnerlessWires();
  if (user() ? entry.user_wired : wirings != 0) {
    done_.push_back(entry.range);
    return absl::OkStatus();
  }
  if (user() || holes_ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("cannot unwire %s: entry %s has no system wiring but those of tokens",
                      asked_.ToString(), ToString(entry)));
}

void Wiring::CommitUnwire() {
  for (const GuestRange& range : done_) {
    VmMapEntry& entry = EntryAt(range.start());
    if (user()) {
      entry.user_wired = false;
      map_.user_wired_pages_ -= entry.range.pages();
    } else {
      --entry.system_wires;
      if (owner_ == Owner::kToken) --entry.token_wires;
    }
    if (!entry.IsWired()) map_.pins_.Unwire(*entry.object, entry.Pages());
  }
}

}  // namespace vmwire
