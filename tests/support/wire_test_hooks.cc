#include "tests/support/wire_test_hooks.h"

#include "memory/c_api/map_handle.h"
#include "memory/check.h"
#include "memory/vm_page.h"

namespace {

vmwire::VmMap& MapOf(vm_map_t handle) {
  vmwire::MapHandle* const map = vmwire::FindMap(handle);
  VMWIRE_CHECK(map != nullptr, "a test sets a counter of what is no map");
  return map->map;
}

vmwire::VmPage& PageOf(vm_page_t handle) { return *reinterpret_cast<vmwire::VmPage*>(handle); }

}  // namespace

void vmwire_test_set_system_wires(vm_map_t map, vm_offset_t addr, uint32_t count) {
  const uint32_t wires = count == UINT32_MAX ? vmwire::VmMap::Options().max_system_wires : count;
  MapOf(map).ForceSystemWiresForTesting(vmwire::GuestAddress(addr), wires);
}

void vmwire_test_add_user_wired_pages(vm_map_t map, uint64_t pages) {
  MapOf(map).AddUserWiredPagesForTesting(pages);
}

void vmwire_test_set_page_wires(vm_page_t page, uint32_t count) {
  PageOf(page).ForceWireCountForTesting(count);
}

void vmwire_test_set_page_blocked(vm_page_t page, bool blocked) {
  PageOf(page).SetBlocked(blocked);
}
