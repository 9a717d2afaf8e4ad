// vm_map_wire.h: wirings of ranges of a map.
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/c_api/exported.h"
#include "memory/c_api/last_error.h"
#include "memory/c_api/map_handle.h"
#include "memory/c_api/wire_runtime.h"
#include "memory/c_api/wire_time.h"
#include "memory/vm_map.h"
#include "memory/wire_options.h"

namespace vmwire {
namespace {

constexpr int kKnownFlags = VM_MAP_WIRE_USER | VM_MAP_WIRE_HOLESOK | VM_MAP_WIRE_WRITE;

struct Asked {
  vm_offset_t start;
  vm_offset_t end;
  int flags;

  GuestRange Range() const { return GuestRange::Between(GuestAddress(start), GuestAddress(end)); }
  WireFlags Flags() const { return static_cast<WireFlags>(flags); }
};

// Null: the range is to be looked at; else the result. REQUIRES: the handle is a map's.
std::optional<int> CheckAsked(const char* what, const Asked& asked) {
  if (asked.start == asked.end) return Succeed();
  if ((asked.flags & ~kKnownFlags) != 0) {
    return Fail(
        KERN_INVALID_ARGUMENT,
        absl::StrFormat("cannot %s %s: the flags 0x%x are not all VM_MAP_WIRE_*", what,
                        BoundsText(asked.start, asked.end), static_cast<unsigned>(asked.flags)));
  }
  const int code = CheckBounds(what, asked.start, asked.end);
  return code == KERN_SUCCESS ? std::nullopt : std::optional<int>(code);
}

// What a wiring fails with that did not get as far as a page.
int CodeWithoutPage(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return KERN_INVALID_ARGUMENT;
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return KERN_ABORTED;
    default:
      return KERN_FAILURE;
  }
}

int WireCode(const absl::Status& status, WireFailure failure) {
  switch (failure) {
    case WireFailure::kNone:
      return CodeWithoutPage(status);
    case WireFailure::kHole:
    case WireFailure::kUnreadable:
    case WireFailure::kNotWritable:
    case WireFailure::kGuard:
      return KERN_INVALID_ADDRESS;
    case WireFailure::kLimit:
    case WireFailure::kCountMaximum:
      return KERN_RESOURCE_SHORTAGE;
    case WireFailure::kBackingEnd:
      return KERN_OUT_OF_BOUNDS;
    case WireFailure::kPinError:
      return KernCodeIn(status).value_or(KERN_RESOURCE_SHORTAGE);
    case WireFailure::kCancelled:
    case WireFailure::kTimedOut:
      return KERN_ABORTED;
    case WireFailure::kNotSplittable:
      return KERN_INVALID_ARGUMENT;
  }
  return KERN_FAILURE;
}

vm_wire_reason ReasonOf(const absl::Status& status, WireFailure failure) {
  switch (failure) {
    case WireFailure::kNone:
      return VM_WIRE_REASON_ARGUMENT;
    case WireFailure::kHole:
      return VM_WIRE_REASON_HOLE;
    case WireFailure::kUnreadable:
      return VM_WIRE_REASON_UNREADABLE;
    case WireFailure::kNotWritable:
      return VM_WIRE_REASON_NOT_WRITABLE;
    case WireFailure::kGuard:
      return VM_WIRE_REASON_GUARD;
    case WireFailure::kLimit:
      return VM_WIRE_REASON_LIMIT;
    case WireFailure::kCountMaximum:
      return VM_WIRE_REASON_COUNT_MAXIMUM;
    case WireFailure::kBackingEnd:
      return VM_WIRE_REASON_BACKING_END;
    case WireFailure::kPinError:
      return KernCodeIn(status).has_value() ? VM_WIRE_REASON_FAULT : VM_WIRE_REASON_PIN_ERROR;
    case WireFailure::kCancelled:
      return VM_WIRE_REASON_CANCELLED;
    case WireFailure::kTimedOut:
      return VM_WIRE_REASON_TIMED_OUT;
    case WireFailure::kNotSplittable:
      return VM_WIRE_REASON_LARGE_PAGE;
  }
  return VM_WIRE_REASON_ARGUMENT;
}

// What the host refused may have been allowed, or forbidden, since the limits were read.
std::string ShortageText(const Asked& asked, const absl::Status& status) {
  const std::string changed = WireRuntime::Get().ChangedLimits();
  if (changed.empty()) return std::string(status.message());
  return absl::StrCat(std::string(status.message()), " (the range has ", asked.end - asked.start,
                      " bytes", changed, ")");
}

int Wire(MapHandle& map, const Asked& asked, const WireProgress& progress, const WaitLimits& limits,
         vm_wire_result& result) {
  WireReport report;
  const absl::Status wired = map.map.WireRange(
      asked.Range(), asked.Flags(), {.progress = progress, .limits = limits, .report = &report});
  result.pages_wired = report.pages_wired;
  result.pages_skipped = report.pages_skipped;
  if (wired.ok()) return Succeed();
  const int code = WireCode(wired, report.failure);
  result.needed = report.needed;
  result.available = report.available;
  result.failed_at = report.failed_at.value_or(GuestAddress(0)).value();
  result.reason = ReasonOf(wired, report.failure);
  if (code != KERN_RESOURCE_SHORTAGE) return Fail(code, wired);
  return Fail(code, ShortageText(asked, wired));
}

int WireAsked(vm_map_t handle, const Asked& asked, const WireProgress& progress,
              const WaitLimits& limits, vm_wire_result& result) {
  result = {};
  MapHandle* const map = FindMap(handle);
  std::optional<int> checked;
  if (map == nullptr) {
    checked = KERN_INVALID_ARGUMENT;
  } else {
    checked = CheckAsked("wire", asked);
  }
  if (!checked.has_value()) return Wire(*map, asked, progress, limits, result);
  if (*checked != KERN_SUCCESS) result.reason = VM_WIRE_REASON_ARGUMENT;
  return *checked;
}

int UnwireCode(const absl::Status& status, int flags) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return KERN_INVALID_ADDRESS;
    case absl::StatusCode::kInvalidArgument:
      return KERN_INVALID_ARGUMENT;
    case absl::StatusCode::kFailedPrecondition:
      // That it has no system wiring stops only this kind of call; the other is a callback that
      // would wait for the wiring that calls it.
      return (flags & (VM_MAP_WIRE_USER | VM_MAP_WIRE_HOLESOK)) == 0 ? KERN_INVALID_ARGUMENT
                                                                     : KERN_FAILURE;
    default:
      return KERN_FAILURE;
  }
}

int UnwireAsked(MapHandle& map, const Asked& asked) {
  const absl::Status unwired = map.map.UnwireRange(asked.Range(), asked.Flags());
  return unwired.ok() ? Succeed() : Fail(UnwireCode(unwired, asked.flags), unwired);
}

Asked AllOf(const MapHandle& map) {
  return {map.bounds.start().value(), map.bounds.end().value(),
          VM_MAP_WIRE_USER | VM_MAP_WIRE_HOLESOK};
}

}  // namespace
}  // namespace vmwire

using vmwire::Asked;
using vmwire::FindMap;
using vmwire::MapHandle;

int vm_map_wire(vm_map_t map, vm_offset_t start, vm_offset_t end, int flags) {
  vm_wire_result result;
  return vmwire::WireAsked(map, {start, end, flags}, nullptr, {}, result);
}

int vm_map_unwire(vm_map_t handle, vm_offset_t start, vm_offset_t end, int flags) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  const Asked asked{start, end, flags};
  if (const auto code = vmwire::CheckAsked("unwire", asked)) return *code;
  return vmwire::UnwireAsked(*map, asked);
}

int vm_map_wire_all(vm_map_t handle) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  vm_wire_result result;
  return vmwire::WireAsked(handle, vmwire::AllOf(*map), nullptr, {}, result);
}

int vm_map_unwire_all(vm_map_t handle) {
  MapHandle* const map = FindMap(handle);
  if (map == nullptr) return KERN_INVALID_ARGUMENT;
  map->map.SetWireFuture(false);
  return vmwire::UnwireAsked(*map, vmwire::AllOf(*map));
}

int vm_map_wire_ex(vm_map_t map, vm_offset_t start, vm_offset_t end, int flags, int64_t timeout_ns,
                   bool (*keep_going)(void* ctx, uint64_t pages_done, uint64_t pages_total),
                   void* ctx, struct vm_wire_result* result) {
  vmwire::WireProgress progress;
  if (keep_going != nullptr) {
    progress = [keep_going, ctx](uint64_t bytes_done, uint64_t bytes_total) {
      return keep_going(ctx, bytes_done / vmwire::kPageSize, bytes_total / vmwire::kPageSize);
    };
  }
  vm_wire_result filled;
  const int code =
      vmwire::WireAsked(map, {start, end, flags}, progress, vmwire::WaitUpTo(timeout_ns), filled);
  if (result != nullptr) *result = filled;
  return code;
}
