// The vm_map_t handles: a map, and what the C API remembers of it.
//
// Invariants: as VmMap.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_C_API_MAP_HANDLE_H_
#define VMWIRE_MEMORY_C_API_MAP_HANDLE_H_

#include <string>

#include "memory/c_api/last_error.h"
#include "memory/page_range.h"
#include "memory/vm_map.h"
#include "memory/vm_map_wire.h"

namespace vmwire {

struct MapHandle {
  explicit MapHandle(const GuestRange& range);

  const GuestRange bounds;
  VmMap map;
};

// Null: there are as many maps as there can be.
vm_map_t AddMap(MapHandle* map);
// Null, and the failure KERN_INVALID_ARGUMENT is the thread's last error: no map's handle, or not
// any more.
MapHandle* FindMap(vm_map_t handle);
// REQUIRES: FindMap(handle).
void RemoveMap(vm_map_t handle);

// The failure of a [start, end) that is unaligned or inverted; KERN_SUCCESS if it is neither.
int CheckBounds(const char* what, vm_offset_t start, vm_offset_t end);
// "[0x1000, 0x2000)"
std::string BoundsText(vm_offset_t start, vm_offset_t end);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_C_API_MAP_HANDLE_H_
