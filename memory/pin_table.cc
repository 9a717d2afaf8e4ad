#include "memory/pin_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"
#include "memory/thread_record.h"

namespace vmwire {
namespace {

PageRun PartOf(const PageRun& run, uint64_t first, uint64_t end) {
  return {std::max(run.first, first), std::min(run.end, end)};
}

// Adds a wiring to each page of `run`, up to the first that has as many as it can count, which is
// returned. `fresh`: how many of the pages were not wired.
std::optional<uint64_t> AddWires(PageArray& pages, const PageRun& run, uint64_t& fresh) {
  std::optional<uint64_t> full;
  fresh = 0;
  pages.ForEachMaterialized(run, [&](uint64_t index, VmPage& page) {
    if (full.has_value()) return;
    if (page.wire_count() == 0) {
      page.WireFirst();
      ++fresh;
    } else if (page.WireAgain() != VmPage::Step::kDone) {
      full = index;
    }
  });
  return full;
}

// Takes a wiring from each page of `run`. Returns how many of them are not wired any more.
uint64_t TakeWires(PageArray& pages, const PageRun& run, PageQueue queue) {
  uint64_t last = 0;
  pages.ForEach(run, [&](uint64_t index, VmPage& page) {
    const VmPage::Step step = page.UnwireOneOfSeveral();
    VMWIRE_CHECK(step != VmPage::Step::kNotWired,
                 absl::StrFormat("page 0x%x of the object is not wired", index));
    if (step == VmPage::Step::kNeedsObject && page.UnwireLast(queue)) ++last;
  });
  return last;
}

}  // namespace

PinTable::PinTable(Pinner& pinner, WireBudget& budget, const PinCacheOptions& cache)
    : pinner_(pinner), budget_(budget), cache_(cache) {}

PinTable::~PinTable() {
  DropCache();
  HoldReleases::RemoveListener(*this);
  VMWIRE_CHECK(pinned_bytes() == 0, "pages are still wired or held when their pin table dies");
}

absl::Status PinTable::Wire(VmObject& object, const PageRun& run, PinRequest& request) {
  if (run.end > object.pages().size()) {
    request.failed_page = std::max(run.first, object.pages().size());
    return absl::OutOfRangeError(
        absl::StrFormat("%s: the object has 0x%x pages", run.ToString(), object.pages().size()));
  }
  uint64_t page = run.first;
  uint64_t done = 0;  // Bytes that had to be pinned.
  while (page < run.end) {
    absl::StatusOr<uint64_t> next = WireSome(object, page, run.end, request, done);
    if (!next.ok()) {
      if (run.first < page) Unwire(object, {run.first, page});
      return next.status();
    }
    page = *next;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> PinTable::WireSome(VmObject& object, uint64_t page, uint64_t end,
                                            PinRequest& request, uint64_t& done) {
  ObjectPins& pins = object.pins();
  PageRun gap{page, end};
  {
    const MutexLock lock(pins.mutex);
    const auto extent = pins.FirstEndingAfter(page);
    if (extent != pins.extents.end() && extent->first <= page) {
      if (extent->second.IsBusy()) {
        VMWIRE_RETURN_IF_ERROR(pins.WaitForIdle(extent->second, request.limits));
        return page;
      }
      return WirePinned(object, pins, extent, PartOf(gap, page, extent->second.end), request);
    }
    if (extent != pins.extents.end()) gap.end = std::min(end, extent->first);
    // Busy from here on: nobody else pins these pages meanwhile.
    PinExtent& busy = pins.extents[gap.first];
    busy.end = gap.end;
    busy.table = this;
  }
  VMWIRE_RETURN_IF_ERROR(PinGap(object, gap, request, done));
  done += gap.pages() * kPageSize;
  return gap.end;
}

absl::StatusOr<uint64_t> PinTable::WirePinned(VmObject& object, ObjectPins&,
                                              Extents::iterator extent, const PageRun& run,
                                              PinRequest& request) {
  PinExtent& found = extent->second;
  if (!Covers(found.table->level(), level())) {
    request.failed_page = run.first;
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s are pinned at level '%s' by another map, and '%s' is asked for; unwire them there "
        "first",
        run.ToString(), ToString(found.table->level()), ToString(level())));
  }
  uint64_t fresh = 0;
  if (const std::optional<uint64_t> full = AddWires(object.pages(), run, fresh)) {
    // The pages before it have one wiring too many by now. The extent stays as it was, cached too.
    found.wired_pages += fresh;
    if (run.first < *full) {
      found.wired_pages -= TakeWires(object.pages(), {run.first, *full}, PageQueue::kActive);
    }
    request.failed_page = *full;
    request.count_maximum = true;
    return absl::ResourceExhaustedError(absl::StrFormat(
        "page 0x%x of the object has %d wirings, the most there can be", *full, kMaxWireCount));
  }
  if (found.state == PinExtent::State::kCached) found.table->cache_.Take(found, /*hit=*/true);
  found.state = PinExtent::State::kPinned;
  found.wired_pages += fresh;
  return run.end;
}

absl::Status PinTable::PinGap(VmObject& object, const PageRun& gap, PinRequest& request,
                              uint64_t done_before) {
  ObjectPins& pins = object.pins();
  WireBudget::Reservation charge;
  absl::StatusOr<PinnedExtent> pin = AskHost(object, gap, request, charge, done_before);
  cache_.CountMiss();
  const MutexLock lock(pins.mutex);
  const auto extent = pins.extents.find(gap.first);
  if (pin.ok()) {
    pinned_bytes_.fetch_add(pin->host.size(), std::memory_order_relaxed);
    extent->second.pin = *std::move(pin);
    extent->second.charge = std::move(charge);
    extent->second.state = PinExtent::State::kPinned;
    object.set_last_table(this);
    AddWires(object.pages(), gap, extent->second.wired_pages);
  } else {
    pins.extents.erase(extent);
  }
  pins.idle.WakeAll();
  return pin.status();
}

absl::StatusOr<PinnedExtent> PinTable::AskHost(VmObject& object, const PageRun& gap,
                                               PinRequest& request, WireBudget::Reservation& charge,
                                               uint64_t done_before) {
  VMWIRE_ASSIGN_OR_RETURN(const HostRange host,
                          object.HostSlice(gap.first * kPageSize, gap.pages() * kPageSize));
  request.failed_page = gap.first;
  const uint64_t bytes = gap.pages() * object.charge_per_page();
  absl::StatusOr<WireBudget::Reservation> reserved = budget_.Reserve(bytes);
  // Another thread may be faster to take what was freed.
  while (!reserved.ok() && cache_.Reclaim(bytes) != 0) reserved = budget_.Reserve(bytes);
  request.over_limit = !reserved.ok();
  VMWIRE_RETURN_IF_ERROR(reserved.status());
  HostAddress failed_at = host.start();
  PinControl control{.failed_at = &failed_at};
  if (request.progress) {
    control.progress = [&](uint64_t bytes) { return request.progress(done_before + bytes); };
  }
  Pinner& pinner = PinnerFor(object);
  absl::StatusOr<PinnedExtent> pin = pinner.Pin(host, control);
  // The host has limits of its own, which what is cached counts against too.
  if (absl::IsResourceExhausted(pin.status()) && cache_.Reclaim(host.size()) != 0) {
    pin = pinner.Pin(host, control);
  }
  if (!pin.ok()) {
    request.failed_page = (failed_at.value() - object.host_range().start().value()) / kPageSize;
    return pin.status();
  }
  request.failed_page = std::nullopt;
  charge = *std::move(reserved);
  return pin;
}

Pinner& PinTable::PinnerFor(const VmObject& object) const {
  SimulatedPinner* own = object.simulation();
  return own == nullptr ? pinner_ : *own;
}

uint64_t PinTable::Unwire(VmObject& object, const PageRun& run, PageQueue queue) {
  ObjectPins& pins = object.pins();
  std::vector<Leaving> leaving;
  Caches cached_by;
  uint64_t last = 0;
  {
    const MutexLock lock(pins.mutex);
    leaving = TakeUnwired(object, pins, run, queue, cached_by, last);
  }
  LetGo(object, leaving);
  for (PinTable* table : cached_by) table->cache_.Trim();
  return last;
}

std::vector<PinTable::Leaving> PinTable::TakeUnwired(VmObject& object, ObjectPins& pins,
                                                     const PageRun& run, PageQueue queue,
                                                     Caches& cached_by, uint64_t& last) {
  const auto first = pins.FirstEndingAfter(run.first);
  // All counts drop first: one fence then serves every look for holders.
  uint64_t covered = 0;
  for (auto extent = first; extent != pins.extents.end() && extent->first < run.end; ++extent) {
    const PageRun part = PartOf(run, extent->first, extent->second.end);
    const uint64_t unwired = TakeWires(object.pages(), part, queue);
    extent->second.wired_pages -= unwired;
    last += unwired;
    covered += part.pages();
  }
  VMWIRE_CHECK(covered == run.pages(), run.ToString() + " are not wired");
  std::vector<Leaving> leaving;
  bool fenced = false;
  for (auto extent = first; extent != pins.extents.end() && extent->first < run.end; ++extent) {
    PinExtent& found = extent->second;
    if (found.wired_pages != 0) continue;
    PinTable& table = *found.table;
    // Nothing maps an orphan, so that nobody holds it; and no release would find it again.
    if (!pins.orphaned && table.cache_.Takes(found.charge.bytes())) {
      table.cache_.Add(object, extent->first, found, queue);
      if (cached_by.empty() || cached_by.back() != &table) cached_by.push_back(&table);
      continue;
    }
    if (!pins.orphaned && !std::exchange(fenced, true)) FenceOtherThreads();
    if (pins.orphaned || !table.KeepIfHeld(object, pins, *extent)) {
      leaving.push_back(BeginRelease(extent));
    }
  }
  return leaving;
}

bool PinTable::KeepIfHeld(VmObject& object, ObjectPins&, Extents::value_type& extent) {
  const PageRun pages{extent.first, extent.second.end};
  if (!HoldTable::FirstHolderFenced(&object, pages).has_value()) return false;
  {
    const MutexLock lock(held_mutex_);
    // Once for all its extents: each release looks at every extent of each object in the list.
    const std::weak_ptr<VmObject> self = object.weak_from_this();
    const auto is_self = [&self](const std::weak_ptr<VmObject>& other) {
      return !self.owner_before(other) && !other.owner_before(self);
    };
    if (std::none_of(held_.begin(), held_.end(), is_self)) held_.push_back(self);
    if (!listening_) HoldReleases::AddListener(*this);
    listening_ = true;
  }
  // A release before that was told to nobody; one after it finds the object in the list.
  if (!HoldTable::FirstHolderFenced(&object, pages).has_value()) return false;
  extent.second.state = PinExtent::State::kHeld;
  return true;
}

PinTable::Leaving PinTable::BeginRelease(Extents::iterator extent) {
  extent->second.state = PinExtent::State::kReleasing;
  extent->second.busy_thread = std::this_thread::get_id();
  return {extent->second.table, extent->first, *extent->second.pin};
}

void PinTable::LetGo(VmObject& object, const std::vector<Leaving>& leaving) {
  if (leaving.empty()) return;
  for (const Leaving& extent : leaving) {
    extent.table->PinnerFor(object).Unpin(extent.pin);
    extent.table->pinned_bytes_.fetch_sub(extent.pin.host.size(), std::memory_order_relaxed);
  }
  bool dies = false;
  {
    ObjectPins& pins = object.pins();
    const MutexLock lock(pins.mutex);
    for (const Leaving& extent : leaving) pins.extents.erase(extent.first);
    pins.idle.WakeAll();
    // Only one thread takes the last extent of an orphan.
    dies = pins.orphaned && pins.extents.empty();
  }
  if (dies) VmObject::Delete(&object);
}

bool PinTable::ReleaseCached(VmObject& object, uint64_t first, uint64_t ticket) {
  ObjectPins& pins = object.pins();
  std::vector<Leaving> leaving;
  {
    const MutexLock lock(pins.mutex);
    const auto extent = pins.extents.find(first);
    if (extent == pins.extents.end() || extent->second.state != PinExtent::State::kCached ||
        extent->second.cache_ticket != ticket) {
      return false;
    }
    FenceOtherThreads();
    if (extent->second.table->KeepIfHeld(object, pins, *extent)) return false;
    leaving.push_back(BeginRelease(extent));
  }
  LetGo(object, leaving);
  return true;
}

void PinTable::OnHoldReleased() {
  std::vector<std::weak_ptr<VmObject>> held;
  {
    const MutexLock lock(held_mutex_);
    held.swap(held_);
    // Whoever finds another hold adds it again. (Inside of the callback this waits for nobody.)
    if (listening_) HoldReleases::RemoveListener(*this);
    listening_ = false;
  }
  for (const std::weak_ptr<VmObject>& object : held) {
    // An object that is gone has let go of its extents itself.
    if (const std::shared_ptr<VmObject> alive = object.lock()) ReleaseUnheld(*alive);
  }
}

void PinTable::ReleaseUnheld(VmObject& object) {
  ObjectPins& pins = object.pins();
  std::vector<Leaving> leaving;
  {
    const MutexLock lock(pins.mutex);
    for (auto extent = pins.extents.begin(); extent != pins.extents.end(); ++extent) {
      if (extent->second.state != PinExtent::State::kHeld || extent->second.table != this) continue;
      if (!KeepIfHeld(object, pins, *extent)) leaving.push_back(BeginRelease(extent));
    }
  }
  LetGo(object, leaving);
}

PinTable::Missing PinTable::MissingIn(VmObject& object, const PageRun& run) {
  ObjectPins& pins = object.pins();
  const MutexLock lock(pins.mutex);
  Missing missing;
  uint64_t page = run.first;
  const auto add = [&](uint64_t end) {
    if (page >= end) return;
    missing.pages += end - page;
    ++missing.runs;
  };
  for (auto extent = pins.FirstEndingAfter(page);
       extent != pins.extents.end() && extent->first < run.end; ++extent) {
    add(extent->first);
    if (extent->second.state == PinExtent::State::kCached) {
      missing.cached_pages += PartOf(run, extent->first, extent->second.end).pages();
      ++missing.cached_runs;
    }
    page = std::max(page, extent->second.end);
  }
  add(run.end);
  return missing;
}

absl::Status PinTable::CheckFits(uint64_t bytes, uint64_t extents) const {
  const PinCacheStats cached = cache_.stats();
  VMWIRE_RETURN_IF_ERROR(budget_.CheckFits(bytes, cached.cached_bytes));
  const uint64_t free = pinner_.FreeExtents() + cached.cached_extents;
  if (extents <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "wiring needs %d extents, and %d are free: each takes a registered buffer or a locked "
      "mapping (vm.max_map_count); wire fewer, larger ranges",
      extents, free));
}

bool PinTable::IsPinned(VmObject& object, uint64_t page) {
  ObjectPins& pins = object.pins();
  const MutexLock lock(pins.mutex);
  const auto extent = pins.FirstEndingAfter(page);
  return extent != pins.extents.end() && extent->first <= page && !extent->second.IsBusy();
}

std::optional<PinnedBuffer> PinTable::BufferOf(VmObject& object, uint64_t page) {
  ObjectPins& pins = object.pins();
  const MutexLock lock(pins.mutex);
  const auto extent = pins.FirstEndingAfter(page);
  if (extent == pins.extents.end() || extent->first > page || extent->second.IsBusy()) {
    return std::nullopt;
  }
  const PinExtent& found = extent->second;
  const HostAddress address(object.host_range().start().value() + page * kPageSize);
  return found.table->PinnerFor(object).BufferAt(*found.pin, address);
}

}  // namespace vmwire
