#include "memory/vm_map.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/asymmetric_fence.h"
#include "memory/check.h"
#include "memory/map_removal.h"
#include "memory/status_macros.h"
#include "memory/wiring.h"

namespace vmwire {

VmMap::VmMap(PinTable& pins, const Options& options)
    : pins_(&pins), options_(options), user_wire_limit_(options.user_wire_limit) {
  VMWIRE_CHECK(
      options.min < options.max && options.min.IsPageAligned() && options.max.IsPageAligned(),
      "the map's bounds are inverted or unaligned");
  // Cheap while the process has one thread, and dear later.
  PrepareFences();
}

VmMap::~VmMap() {
  const absl::Status unused = CheckUnused();
  VMWIRE_CHECK(unused.ok(), unused.ToString());
  const absl::Status removed = Remove(GuestRange::Between(options_.min, options_.max));
  VMWIRE_CHECK(removed.ok(), removed.ToString());
}

absl::Status VmMap::Map(const GuestRange& range, std::shared_ptr<VmObject> object, uint64_t offset,
                        Protection protection, Protection max_protection) {
  if (object == nullptr)
    return absl::InvalidArgumentError("no object to map at " + range.ToString());
  if (!IsAligned(offset, object->page_bytes()) || !IsAligned(range.size(), object->page_bytes())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("object offset 0x%x or %s is not aligned to the object's pages of %d bytes",
                        offset, range.ToString(), object->page_bytes()));
  }
  VMWIRE_RETURN_IF_ERROR(CheckInside(range));
  if (offset > UINT64_MAX - range.size()) {
    return absl::OutOfRangeError(
        absl::StrFormat("object offset 0x%x + 0x%x wraps", offset, range.size()));
  }
  if (!Allows(max_protection, protection)) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "protection %s of %s is not within its maximum %s", vmwire::ToString(protection),
        range.ToString(), vmwire::ToString(max_protection)));
  }
  return Insert({.range = range,
                 .object = std::move(object),
                 .offset = offset,
                 .protection = protection,
                 .max_protection = max_protection});
}

absl::Status VmMap::MapGuard(const GuestRange& range) {
  VMWIRE_RETURN_IF_ERROR(CheckInside(range));
  return Insert({.range = range, .object = nullptr});
}

absl::Status VmMap::CheckInside(const GuestRange& range) const {
  if (options_.min <= range.start() && range.end() <= options_.max) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrFormat("%s is not inside the map [0x%x, 0x%x)",
                                               range.ToString(), options_.min.value(),
                                               options_.max.value()));
}

absl::Status VmMap::CheckFree(const GuestRange& range) const {
  const auto next = FirstEndingAfter(range.start());
  if (next != entries_.end() && next->second.range.Overlaps(range)) {
    return absl::AlreadyExistsError(absl::StrFormat("%s overlaps the entry %s", range.ToString(),
                                                    vmwire::ToString(next->second)));
  }
  return absl::OkStatus();
}

absl::Status VmMap::Insert(VmMapEntry entry) {
  const GuestRange range = entry.range;
  const std::shared_ptr<VmObject> object = entry.object;
  const PageRun pages = entry.Pages();
  const WireOptions options;
  Wiring future(*this, range, WireFlags::kUser, Wiring::Owner::kNone, options);
  absl::Status inserted;
  {
    const MutexLock lock(mutex_);
    VMWIRE_RETURN_IF_ERROR(CheckFree(range));
    entries_.emplace(range.start(), std::move(entry));
    // Not published before: nobody can hold what may yet be taken away again.
    if (wire_future_ && object != nullptr) {
      // The analysis does not know that the map of `future` is this one.
      inserted = [&future]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return future.WireInserted(); }();
    }
    if (inserted.ok()) {
      if (object != nullptr) object->AddMapping(pages);
      Publish(range);
      MergeAround(range);
    }
  }
  future.ReleasePins();
  return inserted;
}

absl::Status VmMap::Remove(const GuestRange& range) {
  return MapRemoval(*this, range, std::nullopt).Run();
}

absl::Status VmMap::RemoveWait(const GuestRange& range, const WaitLimits& limits) {
  return MapRemoval(*this, range, limits).Run();
}

absl::Status VmMap::Protect(const GuestRange& range, Protection protection) {
  const MutexLock lock(mutex_);
  VMWIRE_RETURN_IF_ERROR(WaitForTransitions(range, {}));
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    if (it->second.IsGuard() || Allows(it->second.max_protection, protection)) continue;
    return absl::PermissionDeniedError(absl::StrFormat(
        "protection %s for %s is not within the maximum of entry %s", vmwire::ToString(protection),
        range.ToString(), vmwire::ToString(it->second)));
  }
  VMWIRE_RETURN_IF_ERROR(CheckClip(range.start()));
  VMWIRE_RETURN_IF_ERROR(CheckClip(range.end()));
  ClipAt(range.start());
  ClipAt(range.end());
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    if (!it->second.IsGuard()) it->second.protection = protection;
  }
  Publish(range);
  MergeAround(range);
  return absl::OkStatus();
}

absl::Status VmMap::Clip(GuestAddress address) {
  if (!address.IsPageAligned()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the address 0x%x of a cut is not page-aligned", address.value()));
  }
  const MutexLock lock(mutex_);
  VMWIRE_RETURN_IF_ERROR(CheckClip(address));
  const auto it = FirstEndingAfter(address);
  if (it == entries_.end() || !(it->first < address)) return absl::OkStatus();
  ClipAt(address);
  entries_.find(address)->second.clipped = true;
  return absl::OkStatus();
}

std::optional<VmMapEntry> VmMap::Lookup(GuestAddress address) const {
  std::optional<VmMapEntry> entry = LookupFrom(address);
  if (entry.has_value() && !entry->range.Contains(address)) entry.reset();
  return entry;
}

std::optional<VmMapEntry> VmMap::LookupFrom(GuestAddress address) const {
  const MutexLock lock(mutex_);
  const auto it = FirstEndingAfter(address);
  if (it == entries_.end()) return std::nullopt;
  return it->second;
}

absl::StatusOr<WiredRange> VmMap::Wire(const GuestRange& range, WireFlags flags,
                                       const WireOptions& options) {
  const WireFlags system =
      static_cast<WireFlags>(static_cast<uint8_t>(flags) & ~static_cast<uint8_t>(WireFlags::kUser));
  Wiring wiring(*this, range, system, Wiring::Owner::kToken, options);
  VMWIRE_RETURN_IF_ERROR(wiring.Wire());
  return WiredRange(this, range, wiring.TakePieces());
}

absl::Status VmMap::WireRange(const GuestRange& range, WireFlags flags,
                              const WireOptions& options) {
  return Wiring(*this, range, flags, Wiring::Owner::kNone, options).Wire();
}

absl::Status VmMap::UnwireRange(const GuestRange& range, WireFlags flags,
                                const WaitLimits& limits) {
  const WireOptions options{.limits = limits};
  return Wiring(*this, range, flags, Wiring::Owner::kNone, options).Unwire();
}

void VmMap::ReleaseToken(const GuestRange& range) {
  const WireOptions options;
  const absl::Status unwired =
      Wiring(*this, range, WireFlags::kSystem, Wiring::Owner::kToken, options).Unwire();
  // Nothing else can take what a token has wired, and the map refuses to remove it.
  VMWIRE_CHECK(unwired.ok(), unwired.ToString());
}

void VmMap::SetWireFuture(bool on) {
  const MutexLock lock(mutex_);
  wire_future_ = on;
}

absl::Status VmMap::SetPinTable(PinTable& pins) {
  const MutexLock lock(mutex_);
  if (&pins == &this->pins()) return absl::OkStatus();
  bool wiring = was_wired_;
  for (const auto& [start, entry] : entries_) wiring = wiring || entry.transition != nullptr;
  if (wiring) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the map [0x%x, 0x%x) pins at level '%s', and has been wired; the level can be changed "
        "before the first wiring only",
        options_.min.value(), options_.max.value(), vmwire::ToString(this->pins().level())));
  }
  pins_.store(&pins, std::memory_order_release);
  return absl::OkStatus();
}

void VmMap::SetUserWireLimit(uint64_t pages) {
  const MutexLock lock(mutex_);
  user_wire_limit_ = pages;
}

absl::StatusOr<MappedRange> VmMap::KeepMapped(const GuestRange& range) {
  const MutexLock lock(mutex_);
  VMWIRE_RETURN_IF_ERROR(WaitForTransitions(range, {}));
  VMWIRE_RETURN_IF_ERROR(CheckNoHoles(range));
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    if (it->second.mapped_tokens == UINT32_MAX) {
      return absl::ResourceExhaustedError("too many tokens on entry " +
                                          vmwire::ToString(it->second));
    }
  }
  VMWIRE_RETURN_IF_ERROR(CheckClip(range.start()));
  VMWIRE_RETURN_IF_ERROR(CheckClip(range.end()));
  ClipAt(range.start());
  ClipAt(range.end());
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    ++it->second.mapped_tokens;
  }
  MergeAround(range);
  return MappedRange(this, range);
}

void VmMap::ReleaseMapped(const GuestRange& range) {
  const MutexLock lock(mutex_);
  // A merge may have hidden the boundaries that KeepMapped made.
  ClipAt(range.start());
  ClipAt(range.end());
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    --it->second.mapped_tokens;
  }
  MergeAround(range);
  removers_.WakeAll();
}

absl::Status VmMap::WaitForTransition(const VmMapEntry& entry, const WaitLimits& limits) {
  const std::string text = vmwire::ToString(entry);
  if (entry.transition->IsOwn()) {
    return absl::FailedPreconditionError(
        "a callback of a wiring asks for what that wiring is about to wire: entry " + text);
  }
  return entry.transition->waiters().Wait(mutex_, limits,
                                          "waiting for the wiring of entry " + text);
}

absl::Status VmMap::WaitForTransitions(const GuestRange& range, const WaitLimits& limits) {
  auto it = FirstEndingAfter(range.start());
  while (it != entries_.end() && it->first < range.end()) {
    if (it->second.transition == nullptr) {
      ++it;
      continue;
    }
    VMWIRE_RETURN_IF_ERROR(WaitForTransition(it->second, limits));
    it = FirstEndingAfter(range.start());
  }
  return absl::OkStatus();
}

VmMap::Entries::const_iterator VmMap::FirstEndingAfter(GuestAddress address) const {
  auto it = entries_.upper_bound(address);
  if (it != entries_.begin() && address < std::prev(it)->second.range.end()) --it;
  return it;
}

VmMap::Entries::iterator VmMap::FirstEndingAfter(GuestAddress address) {
  auto it = entries_.upper_bound(address);
  if (it != entries_.begin() && address < std::prev(it)->second.range.end()) --it;
  return it;
}

absl::Status VmMap::CheckClip(GuestAddress address) const {
  const auto it = FirstEndingAfter(address);
  if (it == entries_.end() || !(it->first < address) || it->second.IsGuard()) {
    return absl::OkStatus();
  }
  const uint64_t page_bytes = it->second.object->page_bytes();
  if (IsAligned(it->second.OffsetOf(address), page_bytes)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("0x%x cuts a page of %d bytes: entry %s",
                                                    address.value(), page_bytes,
                                                    vmwire::ToString(it->second)));
}

void VmMap::ClipAt(GuestAddress address) {
  const auto it = FirstEndingAfter(address);
  if (it == entries_.end() || !(it->first < address)) return;
  VmMapEntry& low = it->second;
  VmMapEntry high = low;
  high.range = GuestRange::Between(address, low.range.end());
  high.offset = low.IsGuard() ? 0 : low.OffsetOf(address);
  high.clipped = false;
  low.range = GuestRange::Between(low.range.start(), address);
  entries_.emplace_hint(std::next(it), address, std::move(high));
}

void VmMap::MergeAround(const GuestRange& range) {
  auto it = FirstEndingAfter(range.start());
  if (it != entries_.begin()) --it;
  while (it != entries_.end() && !(range.end() < it->first)) {
    const auto next = std::next(it);
    if (next != entries_.end() && CanMerge(it->second, next->second)) {
      it->second.range = GuestRange::Between(it->second.range.start(), next->second.range.end());
      entries_.erase(next);
    } else {
      it = next;
    }
  }
}

void VmMap::MergeClipped(const GuestRange& range) {
  for (auto it = entries_.lower_bound(range.start());
       it != entries_.end() && !(range.end() < it->first); ++it) {
    it->second.clipped = false;
  }
  MergeAround(range);
}

void VmMap::PublishExcept(const GuestRange& range, const std::optional<GuestRange>& hidden) {
  const GuestRange region = translations_.WidenToRuns(range);
  std::vector<TranslationTable::Run> runs;
  const VmMapEntry* previous = nullptr;
  for (auto it = FirstEndingAfter(region.start()); it != entries_.end() && it->first < region.end();
       ++it) {
    const VmMapEntry& entry = it->second;
    if (hidden.has_value() && hidden->Contains(entry.range)) continue;
    const GuestRange part = *entry.range.Intersect(region);
    const bool continues = previous != nullptr && Continues(*previous, entry) &&
                           previous->protection == entry.protection;
    previous = &entry;
    // What lies past the object's end is mapped, but nothing is there; nor in a simulated object.
    if (entry.IsGuard() || entry.object->simulation() != nullptr ||
        entry.OffsetOf(part.start()) >= entry.object->size()) {
      continue;
    }
    const uint64_t offset = entry.OffsetOf(part.start());
    const uint64_t size = std::min(part.size(), entry.object->size() - offset);
    const GuestAddress end(part.start().value() + size);
    if (continues) {
      runs.back().range = GuestRange::Between(runs.back().range.start(), end);
    } else {
      runs.push_back({.range = GuestRange::Between(part.start(), end),
                      .host = HostAddress(entry.object->host_range().start().value() + offset),
                      .protection = entry.protection,
                      .object = entry.object.get(),
                      .first_page = offset / kPageSize});
    }
  }
  translations_.Replace(region, runs);
}

}  // namespace vmwire
