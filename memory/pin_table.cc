#include "memory/pin_table.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// The first extent that ends after `page`. Works for const and other maps.
template <typename Extents>
auto FirstEndingAfter(Extents& extents, uint64_t page) {
  auto it = extents.upper_bound(page);
  if (it != extents.begin() && std::prev(it)->second.end > page) --it;
  return it;
}

uint64_t Overlap(const PageRun& a, uint64_t first, uint64_t end) {
  const uint64_t low = std::max(a.first, first);
  const uint64_t high = std::min(a.end, end);
  return low < high ? high - low : 0;
}

}  // namespace

PinTable::~PinTable() {
  VMWIRE_CHECK(objects_.empty(), "an object is still wired when its pin table dies");
}

absl::Status PinTable::Wire(const VmObject& object, const PageRun& run,
                            const PinProgress& progress) {
  VMWIRE_RETURN_IF_ERROR(object.HostSlice(run.first * kPageSize, run.pages() * kPageSize).status());
  ObjectPins& pins = objects_[&object];
  absl::Status pinned;
  if (pins.counts.MaxIn(run) >= kMaxWireCount) {
    pinned = absl::ResourceExhaustedError(absl::StrFormat(
        "a page of pages [0x%x, 0x%x) of the object has %d wirings, the most there can be",
        run.first, run.end, kMaxWireCount));
  } else {
    pinned = PinRuns(object, NotPinned(pins, run), pins, progress);
  }
  if (!pinned.ok()) {
    if (pins.extents.empty()) objects_.erase(&object);
    return pinned;
  }
  pins.counts.ForEachWithCount(run, 0, [&pins](const PageRun& fresh) {
    for (auto it = FirstEndingAfter(pins.extents, fresh.first);
         it != pins.extents.end() && it->first < fresh.end; ++it) {
      it->second.wired_pages += Overlap(fresh, it->first, it->second.end);
    }
  });
  pins.counts.Increment(run);
  return absl::OkStatus();
}

void PinTable::Unwire(const VmObject& object, const PageRun& run) {
  const auto found = objects_.find(&object);
  VMWIRE_CHECK(found != objects_.end(),
               absl::StrFormat("pages [0x%x, 0x%x) are not wired", run.first, run.end));
  ObjectPins& pins = found->second;
  pins.counts.ForEachWithCount(run, 1, [&](const PageRun& last) {
    auto it = FirstEndingAfter(pins.extents, last.first);
    while (it != pins.extents.end() && it->first < last.end) {
      const auto extent = it++;
      extent->second.wired_pages -= Overlap(last, extent->first, extent->second.end);
      if (extent->second.wired_pages == 0) Release(pins, extent);
    }
  });
  pins.counts.Decrement(run);
  if (pins.extents.empty()) objects_.erase(found);
}

uint64_t PinTable::UnpinnedPages(const VmObject& object, const PageRun& run) const {
  const auto found = objects_.find(&object);
  if (found == objects_.end()) return run.pages();
  uint64_t pages = 0;
  for (const PageRun& missing : NotPinned(found->second, run)) pages += missing.pages();
  return pages;
}

uint32_t PinTable::WireCount(const VmObject& object, uint64_t page) const {
  const auto found = objects_.find(&object);
  return found == objects_.end() ? 0 : found->second.counts.CountOf(page);
}

bool PinTable::IsPinned(const VmObject& object, uint64_t page) const {
  return UnpinnedPages(object, {page, page + 1}) == 0;
}

std::vector<PageRun> PinTable::NotPinned(const ObjectPins& pins, const PageRun& run) {
  std::vector<PageRun> missing;
  uint64_t page = run.first;
  for (auto it = FirstEndingAfter(pins.extents, page);
       it != pins.extents.end() && it->first < run.end; ++it) {
    if (page < it->first) missing.push_back({page, it->first});
    page = it->second.end;
  }
  if (page < run.end) missing.push_back({page, run.end});
  return missing;
}

absl::Status PinTable::PinRuns(const VmObject& object, const std::vector<PageRun>& runs,
                               ObjectPins& pins, const PinProgress& progress) {
  uint64_t done = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    const PinProgress from_here = [&](uint64_t bytes) {
      return !progress || progress(done + bytes);
    };
    if (absl::Status pinned = PinRun(object, runs[i], pins, from_here); !pinned.ok()) {
      while (i-- > 0) Release(pins, pins.extents.find(runs[i].first));
      return pinned;
    }
    done += runs[i].pages() * kPageSize;
  }
  return absl::OkStatus();
}

absl::Status PinTable::PinRun(const VmObject& object, const PageRun& run, ObjectPins& pins,
                              const PinProgress& progress) {
  VMWIRE_ASSIGN_OR_RETURN(const HostRange host,
                          object.HostSlice(run.first * kPageSize, run.pages() * kPageSize));
  VMWIRE_ASSIGN_OR_RETURN(WireBudget::Reservation charge, budget_.Reserve(host.size()));
  VMWIRE_ASSIGN_OR_RETURN(PinnedExtent pin, pinner_.Pin(host, progress));
  pinned_bytes_ += host.size();
  pins.extents.emplace(run.first, Extent{run.end, 0, std::move(pin), std::move(charge)});
  return absl::OkStatus();
}

void PinTable::Release(ObjectPins& pins, Extents::iterator extent) {
  pinner_.Unpin(extent->second.pin);
  pinned_bytes_ -= extent->second.pin.host.size();
  pins.extents.erase(extent);
}

}  // namespace vmwire
