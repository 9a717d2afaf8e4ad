// Wiring: what is refused before the first fault, and how failures are written down.
#include <algorithm>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "memory/status_macros.h"
#include "memory/wiring.h"

namespace vmwire {
namespace {

struct ObjectRun {
  VmObject* object;
  PageRun run;
};
using ObjectRuns = absl::InlinedVector<ObjectRun, 2>;

// Sorts the runs and joins those that overlap, since pages that two entries share are pinned once.
void Unite(ObjectRuns& runs) {
  std::sort(runs.begin(), runs.end(), [](const ObjectRun& a, const ObjectRun& b) {
    return std::less<>()(a.object, b.object) || (a.object == b.object && a.run.first < b.run.first);
  });
  size_t kept = 0;
  for (size_t i = 1; i < runs.size(); ++i) {
    ObjectRun& last = runs[kept];
    if (last.object == runs[i].object && runs[i].run.first < last.run.end) {
      last.run.end = std::max(last.run.end, runs[i].run.end);
    } else {
      runs[++kept] = runs[i];
    }
  }
  if (!runs.empty()) runs.resize(kept + 1);
}

// The object's pages behind the part of `entry` that lies in `range`.
PageRun PagesIn(const VmMapEntry& entry, const GuestRange& range) {
  const GuestRange part = *entry.range.Intersect(range);
  const uint64_t first = entry.OffsetOf(part.start()) / kPageSize;
  return {first, first + part.pages()};
}

uint64_t ToPages(uint64_t bytes) { return bytes / kPageSize; }

// What it takes to pin all of `runs`.
struct Need {
  uint64_t pages = 0;
  uint64_t extents = 0;
  uint64_t charge = 0;

  bool operator==(const Need&) const = default;
};

Need NeedOf(ObjectRuns runs) {
  Unite(runs);
  Need need;
  for (const ObjectRun& run : runs) {
    const PinTable::Missing here = PinTable::MissingIn(*run.object, run.run);
    // What the cache would give back of the range itself has to be pinned again.
    need.charge += (here.pages + here.cached_pages) * run.object->charge_per_page();
    need.pages += here.pages;
    // Simulated memory takes no lock and no buffer.
    if (run.object->simulation() == nullptr) need.extents += here.runs + here.cached_runs;
  }
  return need;
}

}  // namespace

bool Wiring::BeginsWithObstacle() {
  const auto it = map_.FirstEndingAfter(range_->start());
  if (it == map_.entries_.end() || range_->start() < it->first) return !holes_ok();
  const VmMapEntry& first = it->second;
  if (first.transition != nullptr) return false;
  const WireReport before = report_;
  const bool wirable = CheckWirable(first).ok();
  report_ = before;  // The walk will write it down.
  if (!wirable) return !holes_ok();
  return !first.IsWired() && PagesIn(first, *range_).end > first.object->pages().size();
}

absl::Status Wiring::Preflight() {
  // It is what the walk will report; the walk faults nothing in before that.
  if (BeginsWithObstacle()) return absl::OkStatus();
  uint64_t to_charge = 0;
  ObjectRuns runs;
  ObjectRuns certain;  // Without what another thread is wiring: the walk may find that wired.
  const WireReport before = report_;
  for (auto it = map_.FirstEndingAfter(range_->start());
       it != map_.entries_.end() && it->first < range_->end(); ++it) {
    const VmMapEntry& entry = it->second;
    if (!CheckWirable(entry).ok()) continue;
    const PageRun run = PagesIn(entry, *range_);
    if (!entry.IsWired()) runs.push_back({entry.object.get(), run});
    if (entry.transition != nullptr) continue;
    if (user() && !entry.user_wired) to_charge += run.pages();
    if (!entry.IsWired()) certain.push_back({entry.object.get(), run});
  }
  report_ = before;
  const Need most = NeedOf(runs);
  Need least = certain.size() == runs.size() ? most : NeedOf(certain);
  bytes_total_ = most.pages * kPageSize;
  const uint64_t limit = map_.user_wire_limit_;
  const uint64_t left = map_.user_wired_pages_ < limit ? limit - map_.user_wired_pages_ : 0;
  if (to_charge > left) {
    return FailLimit(range_->start(), to_charge, left,
                     absl::ResourceExhaustedError(absl::StrFormat(
                         "cannot wire %s: it needs %d pages, %d are in use, and the map's user "
                         "limit is %d pages; raise it, or unwire something",
                         asked_.ToString(), to_charge, map_.user_wired_pages_, limit)));
  }
  absl::Status fits = map_.pins().CheckFits(least.charge, least.extents);
  // What another thread has begun to pin since was in both sums.
  for (; !fits.ok(); fits = map_.pins().CheckFits(least.charge, least.extents)) {
    const Need now = NeedOf(certain);
    if (now == least) break;
    least = now;
  }
  if (fits.ok()) return fits;
  return FailLimit(range_->start(), least.pages, ToPages(map_.pins().budget().available()),
                   absl::Status(fits.code(), absl::StrCat("cannot wire ", asked_.ToString(), ": ",
                                                          std::string(fits.message()))));
}

absl::Status Wiring::Fail(WireFailure failure, std::optional<GuestAddress> at,
                          absl::Status status) {
  report_ = {.failure = failure, .failed_at = at};
  return status;
}

absl::Status Wiring::FailLimit(GuestAddress at, uint64_t needed, uint64_t available,
                               absl::Status status) {
  report_ = {
      .failure = WireFailure::kLimit, .failed_at = at, .needed = needed, .available = available};
  return status;
}

absl::Status Wiring::FailStopped(const absl::Status& status) {
  if (status.ok()) return status;
  const WireFailure failure = absl::IsDeadlineExceeded(status) ? WireFailure::kTimedOut
                              : absl::IsCancelled(status)      ? WireFailure::kCancelled
                                                               : WireFailure::kNone;
  return Fail(failure, std::nullopt, status);
}

absl::Status Wiring::FailPin(const VmMapEntry& entry, const PinRequest& request,
                             const absl::Status& status) {
  const bool stopped = absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
  if (stopped) return FailStopped(stopped_.ok() ? status : stopped_);
  GuestAddress at = entry.range.start();
  if (request.failed_page.has_value()) {
    at = GuestAddress(at.value() + (*request.failed_page - entry.Pages().first) * kPageSize);
  }
  const WireFailure failure = entry.Pages().end > entry.object->pages().size()
                                  ? WireFailure::kBackingEnd
                              : request.over_limit    ? WireFailure::kLimit
                              : request.count_maximum ? WireFailure::kCountMaximum
                                                      : WireFailure::kPinError;
  absl::Status text(
      status.code(),
      absl::StrFormat("cannot wire %s at guest page 0x%x, entry %s: %s", asked_.ToString(),
                      at.value(), ToString(entry), std::string(status.message())));
  // A simulated fault may say more than its code.
  status.ForEachPayload([&text](absl::string_view type, const absl::Cord& payload) {
    text.SetPayload(type, payload);
  });
  if (failure != WireFailure::kLimit) return Fail(failure, at, text);
  return FailLimit(at, entry.range.pages(), ToPages(map_.pins().budget().available()), text);
}

absl::Status Wiring::Report(absl::Status status) {
  if (!status.ok()) report_.pages_wired = report_.pages_skipped = 0;
  if (options_.report != nullptr) *options_.report = report_;
  return status;
}

}  // namespace vmwire
