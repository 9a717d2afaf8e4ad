#include "devices/dma_space.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/map_dma_port.h"
#include "memory/asymmetric_fence.h"
#include "memory/check.h"
#include "memory/hold_table.h"
#include "memory/hold_watch.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// How often a mapping wires what another thread gives up again under it.
constexpr int kWireTries = 8;

}  // namespace

DmaRevocation& DmaRevocation::operator=(DmaRevocation&& other) noexcept {
  if (this != &other) {
    Lift();
    space_ = std::exchange(other.space_, nullptr);
    range_ = other.range_;
  }
  return *this;
}

void DmaRevocation::Lift() {
  if (DmaSpace* const space = std::exchange(space_, nullptr); space != nullptr) space->Lift(range_);
}

DmaSpace::DmaSpace(HostMemory& host, VmMap& map, const GuestRange& memory, const Options& options)
    : host_(host),
      map_(map),
      leases_(options.on_demand_bytes.has_value()
                  ? std::make_unique<DmaLeases>(map, memory, *options.on_demand_bytes)
                  : nullptr) {}

DmaSpace::~DmaSpace() {
  const MutexLock lock(ports_mutex_);
  VMWIRE_CHECK(ports_.empty(), "a port outlives its space");
}

std::unique_ptr<DmaPort> DmaSpace::CreatePort(std::string name,
                                              std::optional<std::vector<GuestRange>> windows) {
  auto port = std::make_unique<MapDmaPort>(*this, std::move(name), std::move(windows));
  const MutexLock lock(ports_mutex_);
  ports_.push_back(port.get());
  return port;
}

void DmaSpace::Forget(const MapDmaPort* port) {
  const MutexLock lock(ports_mutex_);
  ports_.erase(std::find(ports_.begin(), ports_.end(), port));
}

absl::StatusOr<HeldRange> DmaSpace::Hold(GuestAddress address, uint64_t size, Protection access) {
  absl::StatusOr<HeldRange> held = map_.Hold(address, size, access);
  if (leases_ == nullptr) return held;
  for (int i = 0; absl::IsFailedPrecondition(held.status()) && i < kWireTries; ++i) {
    VMWIRE_RETURN_IF_ERROR(
        leases_->Wire(address, size, [&] { return CheckNotRevoked(address, size); }));
    held = map_.Hold(address, size, access);
  }
  if (held.ok()) leases_->Touch(address, size);
  return held;
}

bool DmaSpace::AnyRevoked() const { return revoked_count_.load(kObserve) != 0; }

absl::Status DmaSpace::CheckNotRevoked(GuestAddress address, uint64_t size) const {
  const MutexLock lock(revoked_mutex_);
  for (const GuestRange& range : revoked_) {
    if (address < range.end() && address.value() + size > range.start().value()) {
      return absl::UnavailableError(
          absl::StrFormat("DMA to 0x%x+0x%x: guest memory %s is being taken back", address.value(),
                          size, range.ToString()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<DmaRevocation> DmaSpace::Revoke(const GuestRange& range, const WaitLimits& limits) {
  {
    const MutexLock lock(revoked_mutex_);
    revoked_.push_back(range);
    revoked_count_.store(static_cast<uint32_t>(revoked_.size()), kPublish);
  }
  DmaRevocation revocation(this, range);  // Lifts what was begun if the wait fails.
  revocations_.fetch_add(1, std::memory_order_relaxed);
  {
    const MutexLock lock(ports_mutex_);
    for (MapDmaPort* const port : ports_) port->Tell(range);
  }
  if (leases_ != nullptr) leases_->Drop(range);
  VMWIRE_RETURN_IF_ERROR(WaitForHolds(range, limits));
  return revocation;
}

absl::Status DmaSpace::WaitForHolds(const GuestRange& range, const WaitLimits& limits) {
  HoldWatch watch;
  while (const std::optional<Holder> holder =
             HoldTable::FirstHolderFenced(static_cast<const void*>(&map_), range)) {
    VMWIRE_RETURN_IF_ERROR(watch.WaitForRelease(
        limits, absl::StrCat("taking guest memory ", range.ToString(), " back from devices; ",
                             ToString(*holder), DescribeLivePorts())));
  }
  return absl::OkStatus();
}

std::string DmaSpace::DescribeLivePorts() const {
  const MutexLock lock(ports_mutex_);
  std::string text;
  for (const MapDmaPort* const port : ports_) {
    const uint64_t live = port->stats().live;
    if (live == 0) continue;
    absl::StrAppend(&text, text.empty() ? "; with mappings now: " : ", ", port->name(), " (", live,
                    ")");
  }
  return text;
}

void DmaSpace::Lift(const GuestRange& range) {
  const MutexLock lock(revoked_mutex_);
  revoked_.erase(std::find(revoked_.begin(), revoked_.end(), range));
  revoked_count_.store(static_cast<uint32_t>(revoked_.size()), kPublish);
}

absl::Status DmaSpace::Remove(const GuestRange& range, const WaitLimits& limits) {
  VMWIRE_ASSIGN_OR_RETURN(const DmaRevocation revocation, Revoke(range, limits));
  return map_.RemoveWait(range, limits);
}

absl::Status DmaSpace::Discard(const GuestRange& range) {
  VMWIRE_ASSIGN_OR_RETURN(std::vector<VmMapEntry> entries, DiscardableEntries(range));
  const auto is_wired = [](const VmMapEntry& entry) { return entry.IsWired(); };
  if (leases_ != nullptr && std::any_of(entries.begin(), entries.end(), is_wired)) {
    // What is kept in case that a device comes again is no reason to refuse.
    leases_->Drop(range);
    VMWIRE_ASSIGN_OR_RETURN(entries, DiscardableEntries(range));
  }
  const auto wired = std::find_if(entries.begin(), entries.end(), is_wired);
  if (wired != entries.end()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "cannot discard %s: entry %s is wired", range.ToString(), vmwire::ToString(*wired)));
  }
  for (const VmMapEntry& entry : entries) {
    const GuestRange part = *entry.range.Intersect(range);
    const uint64_t first = entry.OffsetOf(part.start()) / kPageSize;
    VMWIRE_RETURN_IF_ERROR(entry.object->Discard({first, first + part.pages()}));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<VmMapEntry>> DmaSpace::DiscardableEntries(
    const GuestRange& range) const {
  std::vector<VmMapEntry> entries;
  for (GuestAddress at = range.start(); at < range.end(); at = entries.back().range.end()) {
    std::optional<VmMapEntry> entry = map_.Lookup(at);
    if (!entry.has_value() || entry->IsGuard()) {
      return absl::NotFoundError(
          absl::StrFormat("cannot discard %s: no memory at 0x%x", range.ToString(), at.value()));
    }
    if (!Allows(entry->protection, Protection::kWrite)) {
      return absl::PermissionDeniedError(absl::StrFormat(
          "cannot discard %s: entry %s is read-only", range.ToString(), vmwire::ToString(*entry)));
    }
    entries.push_back(*std::move(entry));
  }
  return entries;
}

DmaLeaseStats DmaSpace::lease_stats() const {
  return leases_ == nullptr ? DmaLeaseStats() : leases_->stats();
}

}  // namespace vmwire
