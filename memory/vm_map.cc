#include "memory/vm_map.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"
#include "memory/wiring.h"

namespace vmwire {

VmMap::VmMap(PinTable& pins, const Options& options) : pins_(pins), options_(options) {
  VMWIRE_CHECK(
      options.min < options.max && options.min.IsPageAligned() && options.max.IsPageAligned(),
      "the map's bounds are inverted or unaligned");
}

VmMap::~VmMap() {
  for (const auto& [start, entry] : entries_) {
    VMWIRE_CHECK(!entry.IsHeld(),
                 "a system wiring or a token outlives its map: " + vmwire::ToString(entry));
    if (entry.user_wired) pins_.Unwire(*entry.object, entry.Pages());
  }
}

absl::Status VmMap::Map(const GuestRange& range, std::shared_ptr<VmObject> object, uint64_t offset,
                        Protection protection, Protection max_protection) {
  if (object == nullptr)
    return absl::InvalidArgumentError("no object to map at " + range.ToString());
  if (!IsAligned(offset, kPageSize)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("object offset 0x%x is not page-aligned", offset));
  }
  if (range.start() < options_.min || options_.max < range.end()) {
    return absl::OutOfRangeError(absl::StrFormat("%s is not inside the map [0x%x, 0x%x)",
                                                 range.ToString(), options_.min.value(),
                                                 options_.max.value()));
  }
  if (offset > UINT64_MAX - range.size()) {
    return absl::OutOfRangeError(
        absl::StrFormat("object offset 0x%x + 0x%x wraps", offset, range.size()));
  }
  if (!Allows(max_protection, protection)) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "protection %s of %s is not within its maximum %s", vmwire::ToString(protection),
        range.ToString(), vmwire::ToString(max_protection)));
  }
  const auto next = FirstEndingAfter(range.start());
  if (next != entries_.end() && next->second.range.Overlaps(range)) {
    return absl::AlreadyExistsError(absl::StrFormat("%s overlaps the entry %s", range.ToString(),
                                                    vmwire::ToString(next->second)));
  }
  VmMapEntry entry{.range = range,
                   .object = std::move(object),
                   .offset = offset,
                   .protection = protection,
                   .max_protection = max_protection};
  entries_.emplace(range.start(), std::move(entry));
  MergeAround(range);
  return absl::OkStatus();
}

absl::Status VmMap::Remove(const GuestRange& range) {
  // The whole range is checked before any of it is changed.
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    if (it->second.IsHeld()) {
      return absl::FailedPreconditionError(
          absl::StrFormat("%s cannot be removed: system wirings or tokens depend on it, entry %s",
                          range.ToString(), vmwire::ToString(it->second)));
    }
  }
  ClipAt(range.start());
  ClipAt(range.end());
  auto it = FirstEndingAfter(range.start());
  while (it != entries_.end() && it->first < range.end()) {
    const VmMapEntry& entry = it->second;
    if (entry.user_wired) {
      pins_.Unwire(*entry.object, entry.Pages());
      user_wired_pages_ -= entry.range.pages();
    }
    it = entries_.erase(it);
  }
  return absl::OkStatus();
}

absl::Status VmMap::Protect(const GuestRange& range, Protection protection) {
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    if (!Allows(it->second.max_protection, protection)) {
      return absl::PermissionDeniedError(absl::StrFormat(
          "protection %s for %s is not within the maximum of entry %s",
          vmwire::ToString(protection), range.ToString(), vmwire::ToString(it->second)));
    }
  }
  ClipAt(range.start());
  ClipAt(range.end());
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    it->second.protection = protection;
  }
  MergeAround(range);
  return absl::OkStatus();
}

const VmMapEntry* VmMap::Lookup(GuestAddress address) const {
  const auto it = FirstEndingAfter(address);
  return it != entries_.end() && it->second.range.Contains(address) ? &it->second : nullptr;
}

absl::StatusOr<WiredRange> VmMap::Wire(const GuestRange& range, WireFlags flags,
                                       const WireProgress& progress) {
  const WireFlags system =
      static_cast<WireFlags>(static_cast<uint8_t>(flags) & ~static_cast<uint8_t>(WireFlags::kUser));
  Wiring wiring(*this, range, system, Wiring::Owner::kToken, progress);
  VMWIRE_RETURN_IF_ERROR(wiring.Wire());
  return WiredRange(this, range, wiring.TakePieces());
}

absl::Status VmMap::WireRange(const GuestRange& range, WireFlags flags,
                              const WireProgress& progress) {
  return Wiring(*this, range, flags, Wiring::Owner::kNone, progress).Wire();
}

absl::Status VmMap::UnwireRange(const GuestRange& range, WireFlags flags) {
  return Wiring(*this, range, flags, Wiring::Owner::kNone, {}).Unwire();
}

void VmMap::ReleaseToken(const GuestRange& range) {
  const absl::Status unwired =
      Wiring(*this, range, WireFlags::kSystem, Wiring::Owner::kToken, {}).Unwire();
  // Nothing else can take what a token has wired, and the map refuses to remove it.
  VMWIRE_CHECK(unwired.ok(), unwired.ToString());
}

absl::StatusOr<MappedRange> VmMap::Hold(const GuestRange& range) {
  VMWIRE_RETURN_IF_ERROR(CheckNoHoles(range));
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    if (it->second.holds == UINT32_MAX) {
      return absl::ResourceExhaustedError("too many holds on entry " +
                                          vmwire::ToString(it->second));
    }
  }
  ClipAt(range.start());
  ClipAt(range.end());
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    ++it->second.holds;
  }
  MergeAround(range);
  return MappedRange(this, range);
}

void VmMap::ReleaseHold(const GuestRange& range) {
  // A merge may have hidden the boundaries that Hold made.
  ClipAt(range.start());
  ClipAt(range.end());
  for (auto it = FirstEndingAfter(range.start()); it != entries_.end() && it->first < range.end();
       ++it) {
    --it->second.holds;
  }
  MergeAround(range);
}

uint64_t VmMap::wired_pages() const {
  uint64_t pages = 0;
  for (const auto& [start, entry] : entries_) {
    if (entry.IsWired()) pages += entry.range.pages();
  }
  return pages;
}

VmMap::Entries::const_iterator VmMap::FirstEndingAfter(GuestAddress address) const {
  auto it = entries_.upper_bound(address);
  if (it != entries_.begin() && address < std::prev(it)->second.range.end()) --it;
  return it;
}

VmMap::Entries::iterator VmMap::FirstEndingAfter(GuestAddress address) {
  // Erasing nothing is the standard way to make a const_iterator of one's own container mutable.
  const auto it = static_cast<const VmMap*>(this)->FirstEndingAfter(address);
  return entries_.erase(it, it);
}

void VmMap::ClipAt(GuestAddress address) {
  const auto it = FirstEndingAfter(address);
  if (it == entries_.end() || !(it->first < address)) return;
  VmMapEntry& low = it->second;
  VmMapEntry high = low;
  high.range = GuestRange::Between(address, low.range.end());
  high.offset = low.OffsetOf(address);
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

absl::Status VmMap::CheckNoHoles(const GuestRange& range) const {
  GuestAddress at = range.start();
  for (auto it = FirstEndingAfter(at); it != entries_.end() && it->first <= at && at < range.end();
       ++it) {
    at = it->second.range.end();
  }
  if (at < range.end()) {
    return absl::NotFoundError(
        absl::StrFormat("nothing is mapped at 0x%x of %s", at.value(), range.ToString()));
  }
  return absl::OkStatus();
}

absl::StatusOr<HostBacking> VmMap::BackingOf(const GuestRange& range) const {
  VMWIRE_RETURN_IF_ERROR(CheckNoHoles(range));
  auto it = FirstEndingAfter(range.start());
  const VmMapEntry& first = it->second;
  const uint64_t offset = first.OffsetOf(range.start());
  for (; it != entries_.end() && it->first < range.end(); ++it) {
    const VmMapEntry& entry = it->second;
    const bool contiguous =
        entry.object == first.object &&
        entry.offset - first.offset == entry.range.start().value() - first.range.start().value();
    if (!contiguous || entry.protection != first.protection) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s is not one piece of host memory with one protection: it meets entry %s",
          range.ToString(), vmwire::ToString(entry)));
    }
  }
  VMWIRE_ASSIGN_OR_RETURN(const HostRange host, first.object->HostSlice(offset, range.size()));
  return HostBacking{host, first.protection};
}

absl::Status VmMap::CheckEntry(const VmMapEntry& entry) const {
  const std::string text = vmwire::ToString(entry);
  if (entry.range.start() < options_.min || options_.max < entry.range.end()) {
    return absl::InternalError("outside of the map: " + text);
  }
  if (!Allows(entry.max_protection, entry.protection))
    return absl::InternalError("more rights than allowed: " + text);
  if (entry.token_wires > entry.system_wires) {
    return absl::InternalError("tokens own more wirings than there are: " + text);
  }
  if (entry.system_wires > options_.max_system_wires)
    return absl::InternalError("too many wirings: " + text);
  if (!entry.IsWired()) return absl::OkStatus();
  for (uint64_t page = entry.Pages().first; page < entry.Pages().end; ++page) {
    if (pins_.WireCount(*entry.object, page) == 0 || !pins_.IsPinned(*entry.object, page)) {
      return absl::InternalError(
          absl::StrFormat("object page 0x%x is not pinned under entry %s", page, text));
    }
  }
  return absl::OkStatus();
}

absl::Status VmMap::CheckInvariants() const {
  uint64_t user_pages = 0;
  const VmMapEntry* previous = nullptr;
  for (const auto& [start, entry] : entries_) {
    VMWIRE_RETURN_IF_ERROR(CheckEntry(entry));
    if (start != entry.range.start())
      return absl::InternalError("misplaced: " + vmwire::ToString(entry));
    if (previous != nullptr && entry.range.start() < previous->range.end()) {
      return absl::InternalError("overlapping: " + vmwire::ToString(entry));
    }
    if (previous != nullptr && CanMerge(*previous, entry)) {
      return absl::InternalError("not merged with its predecessor: " + vmwire::ToString(entry));
    }
    if (entry.user_wired) user_pages += entry.range.pages();
    previous = &entry;
  }
  if (user_pages != user_wired_pages_) {
    return absl::InternalError(
        absl::StrFormat("%d user-wired pages, %d charged", user_pages, user_wired_pages_));
  }
  return absl::OkStatus();
}

std::string VmMap::ToString() const {
  std::string text;
  for (const auto& [start, entry] : entries_) text += vmwire::ToString(entry) + "\n";
  return text;
}

MappedRange::MappedRange(MappedRange&& other) noexcept
    : map_(std::exchange(other.map_, nullptr)), range_(other.range_) {}

MappedRange& MappedRange::operator=(MappedRange&& other) noexcept {
  if (this != &other) {
    Release();
    map_ = std::exchange(other.map_, nullptr);
    range_ = other.range_;
  }
  return *this;
}

MappedRange::~MappedRange() { Release(); }

void MappedRange::Release() {
  if (map_ != nullptr) map_->ReleaseHold(range_);
  map_ = nullptr;
}

absl::StatusOr<HostBacking> MappedRange::Backing() const {
  VMWIRE_CHECK(map_ != nullptr, "a token that was moved from is used");
  return map_->BackingOf(range_);
}

}  // namespace vmwire
