// VmMap: holds of wired memory, and the host memory behind a range.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "memory/read_section.h"
#include "memory/status_macros.h"
#include "memory/vm_map.h"

namespace vmwire {
namespace {

// The pages that [address, address + size) touches.
GuestRange PagesAround(GuestAddress address, uint64_t size) {
  const uint64_t start = AlignDown(address.value(), kPageSize);
  const uint64_t last = AlignDown(address.value() + size - 1, kPageSize);
  return GuestRange::Between(GuestAddress(start), GuestAddress(last + kPageSize));
}

}  // namespace

absl::StatusOr<HeldRange> VmMap::Hold(GuestAddress address, uint64_t size, Protection access) {
  // The last page must end inside of 64 bits too.
  if (size == 0 || address.value() > UINT64_MAX - kPageSize ||
      size > UINT64_MAX - kPageSize - address.value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("cannot hold 0x%x+0x%x: empty, or beyond 64 bits", address.value(), size));
  }
  if (std::optional<HeldRange> held = TryHold(address, size, access); held.has_value()) {
    return *std::move(held);
  }
  return HoldLocked(address, size, access);
}

std::optional<HeldRange> VmMap::TryHold(GuestAddress address, uint64_t size, Protection access) {
  HoldSlot* slot = nullptr;
  {
    const ReadGuard guard;
    Translation found;
    if (!translations_.Lookup(address, size, found) || !Allows(found.protection, access) ||
        found.object->MayBeWiredElsewhere()) {
      return std::nullopt;
    }
    const GuestRange guest = PagesAround(address, size);
    slot = HoldTable::Publish(this, guest, found.object, found.object_page);
    const PageRun pages{found.object_page, found.object_page + guest.pages()};
    // Looked at again: what changed it either sees the hold, or is seen here.
    if (found.object->pages().AllWired(pages) && translations_.IsCurrent(address, found)) {
      return HeldRange(slot, {HostPointer(found.host), size});
    }
  }
  // Only outside of the read section: whoever waits for the release may be told.
  HoldTable::Release(slot);
  return std::nullopt;
}

absl::StatusOr<HeldRange> VmMap::HoldLocked(GuestAddress address, uint64_t size,
                                            Protection access) {
  const GuestRange guest = PagesAround(address, size);
  const MutexLock lock(mutex_);
  VMWIRE_RETURN_IF_ERROR(CheckNoHoles(guest));
  const auto first = FirstEndingAfter(guest.start());
  for (auto it = first; it != entries_.end() && it->first < guest.end(); ++it) {
    VMWIRE_RETURN_IF_ERROR(CheckHoldable(it->second, address, access));
    if (it != first && !Continues(std::prev(it)->second, it->second)) {
      return absl::OutOfRangeError(
          absl::StrFormat("cannot hold %s: it is not one piece of host memory, it meets entry %s",
                          guest.ToString(), vmwire::ToString(it->second)));
    }
  }
  // Wired pages lie in the object; and while they are wired and this map's mutex is held, nobody
  // lets go of them or removes them.
  const VmMapEntry& entry = first->second;
  const uint64_t offset = entry.OffsetOf(guest.start());
  const HostAddress host(entry.object->host_range().start().value() + entry.OffsetOf(address));
  return HeldRange(HoldTable::Publish(this, guest, entry.object.get(), offset / kPageSize),
                   {HostPointer(host), size});
}

absl::Status VmMap::CheckHoldable(const VmMapEntry& entry, GuestAddress at,
                                  Protection access) const {
  if (entry.IsGuard() || !Allows(entry.protection, access)) {
    return absl::PermissionDeniedError(
        absl::StrFormat("cannot hold 0x%x for %s: entry %s does not allow it", at.value(),
                        vmwire::ToString(access), vmwire::ToString(entry)));
  }
  if (!entry.IsWired()) {
    return absl::FailedPreconditionError(absl::StrFormat("cannot hold 0x%x: entry %s is not wired",
                                                         at.value(), vmwire::ToString(entry)));
  }
  return absl::OkStatus();
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
  const MutexLock lock(mutex_);
  VMWIRE_RETURN_IF_ERROR(CheckNoHoles(range));
  const auto first = FirstEndingAfter(range.start());
  for (auto it = first; it != entries_.end() && it->first < range.end(); ++it) {
    const VmMapEntry& entry = it->second;
    const bool contiguous = it == first || Continues(std::prev(it)->second, entry);
    if (entry.IsGuard() || !contiguous || entry.protection != first->second.protection) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s is not one piece of host memory with one protection: it meets entry %s",
          range.ToString(), vmwire::ToString(entry)));
    }
  }
  VMWIRE_ASSIGN_OR_RETURN(
      const HostRange host,
      first->second.object->HostSlice(first->second.OffsetOf(range.start()), range.size()));
  return HostBacking{host, first->second.protection};
}

}  // namespace vmwire
