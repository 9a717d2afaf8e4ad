#include "vmm/slot_table.h"

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/protection.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

kvm_userspace_memory_region RegionOf(uint32_t id, const GuestRange& range,
                                     const HostBacking& backing) {
  kvm_userspace_memory_region region = {};
  region.slot = id;
  region.flags = Allows(backing.protection, Protection::kWrite) ? 0 : KVM_MEM_READONLY;
  region.guest_phys_addr = range.start().value();
  region.memory_size = range.size();
  region.userspace_addr = backing.host.start().value();
  return region;
}

}  // namespace

SlotTable::~SlotTable() {
  VMWIRE_CHECK(live_.empty(), absl::StrFormat("%d memory slots outlive their table", live_.size()));
}

absl::StatusOr<MemorySlot> SlotTable::Install(SlotBacking backing) {
  const GuestRange range = RangeOf(backing);
  VMWIRE_RETURN_IF_ERROR(CheckFree(range));
  VMWIRE_ASSIGN_OR_RETURN(const HostBacking host, BackingOf(backing));
  if (!Allows(host.protection, Protection::kRead)) {
    return absl::PermissionDeniedError(
        absl::StrFormat("no slot for %s: its memory is not readable (%s)", range.ToString(),
                        ToString(host.protection)));
  }
  const bool read_only = !Allows(host.protection, Protection::kWrite);
  if (read_only && !vm_.has_read_only_slots()) {
    return absl::UnimplementedError(
        absl::StrFormat("no slot for %s: it is read-only, and this KVM has no read-only slots "
                        "(KVM_CAP_READONLY_MEM)",
                        range.ToString()));
  }
  if (live_.size() >= limit()) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("no slot for %s: %d of %d memory slots are live (KVM_CAP_NR_MEMSLOTS)",
                        range.ToString(), live_.size(), limit()));
  }
  const uint32_t id = LowestFreeId();
  const absl::Status status = vm_.kvm().SetUserMemoryRegion(vm_.fd(), RegionOf(id, range, host));
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrFormat("no slot for %s (slot %d, host %s): %s", range.ToString(),
                                        id, host.host.ToString(), std::string(status.message())));
  }
  TakeId(id);
  live_.emplace(range.start(), Live{id, range});
  return MemorySlot(this, id, read_only, std::move(backing));
}

absl::Status SlotTable::CheckFree(const GuestRange& range) const {
  auto other = live_.lower_bound(range.end());
  if (other == live_.begin()) return absl::OkStatus();
  // Live slots are disjoint: the last that starts below our end is the only one that can reach into
  // us from below, and the last of those inside us if there are several.
  --other;
  if (!other->second.range.Overlaps(range)) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrFormat("no slot for %s: it overlaps slot %d, %s",
                                                  range.ToString(), other->second.id,
                                                  other->second.range.ToString()));
}

uint32_t SlotTable::LowestFreeId() const {
  return free_ids_.empty() ? next_id_ : *free_ids_.begin();
}

void SlotTable::TakeId(uint32_t id) {
  if (id == next_id_) {
    ++next_id_;
  } else {
    free_ids_.erase(id);
  }
}

void SlotTable::Delete(uint32_t id, GuestAddress start) {
  kvm_userspace_memory_region region = {};
  region.slot = id;
  const absl::Status status = vm_.kvm().SetUserMemoryRegion(vm_.fd(), region);
  VMWIRE_CHECK(status.ok(),
               absl::StrFormat("KVM does not delete slot %d: %s", id, status.ToString()));
  live_.erase(start);
  free_ids_.insert(id);
}

}  // namespace vmwire
