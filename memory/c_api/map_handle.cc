#include "memory/c_api/map_handle.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memory/c_api/handle_table.h"
#include "memory/c_api/wire_runtime.h"

namespace vmwire {
namespace {

using MapTable = HandleTable<vm_map_t, MapHandle>;

MapTable& Maps() {
  static MapTable& table = *new MapTable(HandleKind::kMap);
  return table;
}

}  // namespace

MapHandle::MapHandle(const GuestRange& range)
    : bounds(range),
      map(WireRuntime::Get().table(PinLevel::kGuarded),
          {.min = range.start(), .max = range.end()}) {}

vm_map_t AddMap(MapHandle* map) { return Maps().Add(map); }

MapHandle* FindMap(vm_map_t handle) {
  MapHandle* const map = Maps().Find(handle);
  if (map == nullptr) {
    Fail(KERN_INVALID_ARGUMENT,
         absl::StrFormat(
             "%p is no map: it is NULL, was destroyed, or is the handle of something else",
             static_cast<const void*>(handle)));
  }
  return map;
}

void RemoveMap(vm_map_t handle) { Maps().Remove(handle); }

std::string BoundsText(vm_offset_t start, vm_offset_t end) {
  return absl::StrFormat("[0x%x, 0x%x)", start, end);
}

int CheckBounds(const char* what, vm_offset_t start, vm_offset_t end) {
  if (!IsAligned(start, kPageSize) || !IsAligned(end, kPageSize)) {
    return Fail(KERN_INVALID_ARGUMENT,
                absl::StrCat("cannot ", what, " ", BoundsText(start, end),
                             ": it is not aligned to pages of ", kPageSize, " bytes"));
  }
  if (start > end) {
    return Fail(KERN_INVALID_ARGUMENT, absl::StrCat("cannot ", what, " ", BoundsText(start, end),
                                                    ": it starts above its end"));
  }
  return KERN_SUCCESS;
}

}  // namespace vmwire
