// vm_map_wire.h: maps and their entries.
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/c_api/exported.h"
#include "memory/c_api/last_error.h"
#include "memory/c_api/map_handle.h"
#include "memory/c_api/object_handle.h"
#include "memory/c_api/wire_runtime.h"
#include "memory/c_api/wire_time.h"
#include "memory/status_macros.h"
#include "memory/vm_map.h"

namespace vmwire {
namespace {

bool IsProtection(vm_prot_t bits) { return (bits & ~unsigned{VM_PROT_ALL}) == 0; }

std::string NoProtection(vm_prot_t bits) {
  return absl::StrFormat("0x%x has bits that are no VM_PROT_*", unsigned{bits});
}

// What an insert fails with that its arguments let pass. The wiring of wire-future is part of it.
int InsertCode(const absl::Status& status, vm_prot_t protection) {
  if (const std::optional<int> code = KernCodeIn(status)) return *code;
  switch (status.code()) {
    case absl::StatusCode::kAlreadyExists:
      return KERN_NO_SPACE;
    case absl::StatusCode::kInvalidArgument:
      return KERN_INVALID_ARGUMENT;
    case absl::StatusCode::kOutOfRange:
      return KERN_OUT_OF_BOUNDS;
    case absl::StatusCode::kPermissionDenied:
      // What lacks rights is the entry, or this process.
      return (protection & (VM_PROT_READ | VM_PROT_EXECUTE)) == 0 ? KERN_INVALID_ADDRESS
                                                                  : KERN_RESOURCE_SHORTAGE;
    default:
      return KERN_RESOURCE_SHORTAGE;
  }
}

// The checks that entries and guards have in common.
int CheckInsert(const MapHandle& map, vm_offset_t start, vm_offset_t end) {
  if (!IsAligned(start, kPageSize) || !IsAligned(end, kPageSize)) {
    return CheckBounds("map", start, end);
  }
  const GuestRange& bounds = map.bounds;
  if (start >= end || start < bounds.start().value() || end > bounds.end().value()) {
    return Fail(KERN_INVALID_ADDRESS,
                absl::StrCat("cannot map ", BoundsText(start, end),
                             ": it is empty, inverted, or not inside the map ", bounds.ToString()));
  }
  return KERN_SUCCESS;
}

absl::StatusOr<std::shared_ptr<VmObject>> NewAnonymousObject(vm_offset_t start, vm_offset_t end) {
  VMWIRE_ASSIGN_OR_RETURN(std::shared_ptr<VmObject> object,
                          CreateObject({.size = end - start, .congruent_to = GuestAddress(start)}));
  VMWIRE_ASSIGN_OR_RETURN(NewObject added, AddObject(std::move(object)));
  return std::move(added.object);
}

int Insert(MapHandle& map, vm_object_t handle, vm_ooffset_t offset, vm_offset_t start,
           vm_offset_t end, vm_prot_t prot, vm_prot_t max) {
  std::shared_ptr<VmObject> object;
  if (handle == nullptr) {
    auto made = NewAnonymousObject(start, end);
    if (!made.ok()) return Fail(KERN_RESOURCE_SHORTAGE, made.status());
    object = *std::move(made);
  } else {
    object = FindObject(handle);
    if (object == nullptr) return FailNoObject(handle);
  }
  const auto range = GuestRange::Between(GuestAddress(start), GuestAddress(end));
  const absl::Status mapped =
      map.map.Map(range, std::move(object), offset, Protection(prot), Protection(max));
  if (mapped.ok()) return Succeed();
  return Fail(InsertCode(mapped, prot), mapped);
}

int CheckRemoveCode(const absl::Status& removed) {
  if (removed.ok()) return Succeed();
  return Fail(absl::IsInvalidArgument(removed) ? KERN_INVALID_ARGUMENT : KERN_FAILURE, removed);
}

// Null: the map and the range are checked, and there is something to do; else the result.
std::optional<int> CheckChange(const char* what, MapHandle* map, vm_offset_t start,
                               vm_offset_t end) {
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  if (const int code = CheckBounds(what, start, end); code != KERN_SUCCESS) return code;
  if (start == end) return Succeed();
  return std::nullopt;
}

}  // namespace
}  // namespace vmwire

using vmwire::Fail;
using vmwire::FindMap;
using vmwire::GuestAddress;
using vmwire::GuestRange;
using vmwire::MapHandle;
using vmwire::Succeed;

vm_map_t vm_map_create(vm_offset_t min, vm_offset_t max) {
  const auto bounds = GuestRange::FromBounds(GuestAddress(min), GuestAddress(max));
  if (!bounds.ok()) {
    return vmwire::FailWithErrno(EINVAL,
                                 "cannot make a map: " + std::string(bounds.status().message()));
  }
  std::unique_ptr<MapHandle> map(new (std::nothrow) MapHandle(*bounds));
  const vm_map_t handle = map == nullptr ? nullptr : vmwire::AddMap(map.get());
  if (handle == nullptr) {
    return vmwire::FailWithErrno(ENOMEM, "no memory or no handle is left for another map");
  }
  map.release();
  Succeed();
  return handle;
}

int vm_map_destroy(vm_map_t handle) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  if (const absl::Status unused = map->map.CheckUnused(); !unused.ok()) {
    return Fail(KERN_FAILURE, unused);
  }
  vmwire::RemoveMap(handle);
  delete map;
  return Succeed();
}

int vm_map_insert(vm_map_t handle, vm_object_t object, vm_ooffset_t offset, vm_offset_t start,
                  vm_offset_t end, vm_prot_t prot, vm_prot_t max) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  if (!vmwire::IsAligned(offset, vmwire::kPageSize)) {
    return Fail(KERN_INVALID_ARGUMENT,
                absl::StrFormat("cannot map object offset 0x%x: it is not page-aligned", offset));
  }
  if (!vmwire::IsProtection(prot) || !vmwire::IsProtection(max)) {
    return Fail(KERN_INVALID_ARGUMENT,
                vmwire::NoProtection(vmwire::IsProtection(prot) ? max : prot));
  }
  if (const int code = vmwire::CheckInsert(*map, start, end); code != KERN_SUCCESS) return code;
  if (offset > UINT64_MAX - (end - start) || (object == nullptr && offset != 0)) {
    return Fail(
        KERN_INVALID_ARGUMENT,
        absl::StrFormat("cannot map object offset 0x%x at [0x%x, 0x%x): %s", offset, start, end,
                        object == nullptr ? "a new object is mapped from its start"
                                          : "its end is beyond 64 bits"));
  }
  if ((prot & ~max) != 0) {
    return Fail(KERN_PROTECTION_FAILURE,
                absl::StrFormat(
                    "cannot map [0x%x, 0x%x): protection %s is not within its maximum %s", start,
                    end, ToString(vmwire::Protection(prot)), ToString(vmwire::Protection(max))));
  }
  return vmwire::Insert(*map, object, offset, start, end, prot, max);
}

int vm_map_insert_guard(vm_map_t handle, vm_offset_t start, vm_offset_t end) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  if (const int code = vmwire::CheckInsert(*map, start, end); code != KERN_SUCCESS) return code;
  const absl::Status mapped =
      map->map.MapGuard(GuestRange::Between(GuestAddress(start), GuestAddress(end)));
  return mapped.ok() ? Succeed() : Fail(vmwire::InsertCode(mapped, VM_PROT_NONE), mapped);
}

int vm_map_remove(vm_map_t handle, vm_offset_t start, vm_offset_t end) {
  MapHandle* const map = FindMap(handle);
  if (const auto code = vmwire::CheckChange("remove", map, start, end)) return *code;
  return vmwire::CheckRemoveCode(
      map->map.Remove(GuestRange::Between(GuestAddress(start), GuestAddress(end))));
}

int vm_map_remove_wait(vm_map_t handle, vm_offset_t start, vm_offset_t end, int64_t timeout_ns) {
  MapHandle* const map = FindMap(handle);
  if (const auto code = vmwire::CheckChange("remove", map, start, end)) return *code;
  return vmwire::CheckRemoveCode(map->map.RemoveWait(
      GuestRange::Between(GuestAddress(start), GuestAddress(end)), vmwire::WaitUpTo(timeout_ns)));
}

int vm_map_protect(vm_map_t handle, vm_offset_t start, vm_offset_t end, vm_prot_t prot) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  if (!vmwire::IsProtection(prot)) return Fail(KERN_INVALID_ARGUMENT, vmwire::NoProtection(prot));
  if (const auto code = vmwire::CheckChange("protect", map, start, end)) return *code;
  const absl::Status changed = map->map.Protect(
      GuestRange::Between(GuestAddress(start), GuestAddress(end)), vmwire::Protection(prot));
  if (changed.ok()) return Succeed();
  return Fail(absl::IsInvalidArgument(changed)    ? KERN_INVALID_ARGUMENT
              : absl::IsPermissionDenied(changed) ? KERN_PROTECTION_FAILURE
                                                  : KERN_FAILURE,
              changed);
}

int vm_map_clip(vm_map_t handle, vm_offset_t at) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  const absl::Status clipped = map->map.Clip(GuestAddress(at));
  return clipped.ok() ? Succeed() : Fail(KERN_INVALID_ARGUMENT, clipped);
}

void vm_map_set_wire_future(vm_map_t handle, bool on) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return;
  map->map.SetWireFuture(on);
  Succeed();
}

void vm_map_set_user_wire_limit(vm_map_t handle, uint64_t pages) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return;
  map->map.SetUserWireLimit(pages);
  Succeed();
}

uint64_t vm_map_user_wired_pages(vm_map_t handle) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return 0;
  Succeed();
  return map->map.user_wired_pages();
}

int vm_map_set_pin_level(vm_map_t handle, int level) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  std::optional<vmwire::PinLevel> wanted;
  if (level == VM_PIN_RESIDENT) wanted = vmwire::PinLevel::kResident;
  if (level == VM_PIN_PINNED) wanted = vmwire::PinLevel::kPinned;
  if (level == VM_PIN_GUARDED) wanted = vmwire::PinLevel::kGuarded;
  if (!wanted.has_value()) {
    return Fail(KERN_INVALID_ARGUMENT, absl::StrCat(level, " is no VM_PIN_* level"));
  }
  const absl::Status set = map->map.SetPinTable(vmwire::WireRuntime::Get().table(*wanted));
  return set.ok() ? Succeed() : Fail(KERN_FAILURE, set);
}

const char* vm_map_last_error(void) { return vmwire::LastError(); }

int vm_map_entry_at(vm_map_t handle, vm_offset_t addr, struct vm_map_entry_info* out) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  if (out == nullptr) return Fail(KERN_INVALID_ARGUMENT, "out is NULL: no place for the entry");
  const std::optional<vmwire::VmMapEntry> entry = map->map.LookupFrom(GuestAddress(addr));
  if (!entry.has_value()) {
    return Fail(KERN_INVALID_ADDRESS, absl::StrFormat("the map %s has no entry at or above 0x%x",
                                                      map->bounds.ToString(), addr));
  }
  *out = {.start = entry->range.start().value(),
          .end = entry->range.end().value(),
          .object = vmwire::HandleOf(entry->object),
          .offset = entry->offset,
          .protection = static_cast<vm_prot_t>(entry->protection),
          .max_protection = static_cast<vm_prot_t>(entry->max_protection),
          .system_wires = entry->system_wires,
          .user_wired = entry->user_wired,
          .in_transition = entry->transition != nullptr,
          .guard = entry->IsGuard()};
  return Succeed();
}

int vm_map_check(vm_map_t handle) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  const absl::Status checked = map->map.CheckInvariants();
  return checked.ok() ? Succeed() : Fail(KERN_FAILURE, checked);
}
