// VmMap: what a test or an operator asks of it.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/hold_table.h"
#include "memory/status_macros.h"
#include "memory/vm_map.h"

namespace vmwire {

absl::Status VmMap::CheckUnused() const {
  const MutexLock lock(mutex_);
  for (const auto& [start, entry] : entries_) {
    if (entry.IsKept() || entry.transition != nullptr) {
      return absl::FailedPreconditionError(
          "the map is in use: system wirings or tokens are left on entry " +
          vmwire::ToString(entry));
    }
  }
  const auto holder = HoldTable::FirstHolder(this, GuestRange::Between(options_.min, options_.max));
  if (!holder.has_value()) return absl::OkStatus();
  return absl::FailedPreconditionError("the map is in use: " + vmwire::ToString(*holder));
}

uint64_t VmMap::user_wired_pages() const {
  const MutexLock lock(mutex_);
  return user_wired_pages_;
}

uint64_t VmMap::wired_pages() const {
  const MutexLock lock(mutex_);
  uint64_t pages = 0;
  for (const auto& [start, entry] : entries_) {
    if (entry.IsWired()) pages += entry.range.pages();
  }
  return pages;
}

size_t VmMap::entry_count() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

absl::Status VmMap::CheckEntry(const VmMapEntry& entry) const {
  const std::string text = vmwire::ToString(entry);
  if (entry.range.start() < options_.min || options_.max < entry.range.end()) {
    return absl::InternalError("outside of the map: " + text);
  }
  if (entry.IsGuard() && (entry.IsWired() || entry.protection != Protection::kNone)) {
    return absl::InternalError("a guard with rights or wirings: " + text);
  }
  if (!Allows(entry.max_protection, entry.protection))
    return absl::InternalError("more rights than allowed: " + text);
  if (entry.token_wires > entry.system_wires) {
    return absl::InternalError("tokens own more wirings than there are: " + text);
  }
  if (entry.system_wires > options_.max_system_wires)
    return absl::InternalError("too many wirings: " + text);
  return entry.IsWired() ? CheckPagesPinned(entry) : absl::OkStatus();
}

absl::Status VmMap::CheckPagesPinned(const VmMapEntry& entry) const {
  const PageRun run = entry.Pages();
  if (!entry.object->pages().AllWired(run)) {
    return absl::InternalError("a page is not counted as wired under entry " +
                               vmwire::ToString(entry));
  }
  const PinTable::Missing missing = PinTable::MissingIn(*entry.object, run);
  if (missing.pages == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat("%d pages are not pinned under entry %s",
                                             missing.pages, vmwire::ToString(entry)));
}

absl::Status VmMap::CheckInvariants() const {
  const MutexLock lock(mutex_);
  uint64_t user_pages = 0;
  bool quiet = true;
  const VmMapEntry* previous = nullptr;
  for (const auto& [start, entry] : entries_) {
    quiet = quiet && entry.transition == nullptr;
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
  // A wiring that is under way has charged already what it will wire.
  if (quiet && user_pages != user_wired_pages_) {
    return absl::InternalError(
        absl::StrFormat("%d user-wired pages, %d charged", user_pages, user_wired_pages_));
  }
  return absl::OkStatus();
}

std::string VmMap::ToString() const {
  const MutexLock lock(mutex_);
  std::string text;
  for (const auto& [start, entry] : entries_) absl::StrAppend(&text, vmwire::ToString(entry), "\n");
  return text;
}

void VmMap::ForceSystemWiresForTesting(GuestAddress address, uint32_t count) {
  const MutexLock lock(mutex_);
  const auto it = FirstEndingAfter(address);
  VMWIRE_CHECK(it != entries_.end() && it->second.range.Contains(address), "no entry is there");
  it->second.system_wires = std::min(count, options_.max_system_wires);
}

void VmMap::AddUserWiredPagesForTesting(uint64_t pages) {
  const MutexLock lock(mutex_);
  user_wired_pages_ += pages;
}

}  // namespace vmwire
