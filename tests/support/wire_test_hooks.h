// Sets counters of vm_map_wire.h to values that no test could reach by counting, and the mark of a
// page whose mappings are being removed. Defined beside the C API, for tests only.
//
// Invariants: a test puts back what it set before it goes on; vm_map_check may fail until then.
// Thread safety: none; no other thread may use the map or the page meanwhile.
#ifndef VMWIRE_TESTS_SUPPORT_WIRE_TEST_HOOKS_H_
#define VMWIRE_TESTS_SUPPORT_WIRE_TEST_HOOKS_H_

#include <stdint.h>

#include "memory/vm_map_wire.h"

extern "C" {

// The system wirings of the entry that holds `addr`; UINT32_MAX: the highest count that an entry
// can have. The counts of its pages stay as they are. REQUIRES: the entry is wired.
void vmwire_test_set_system_wires(vm_map_t map, vm_offset_t addr, uint32_t count);

// Adds `pages`, modulo 2^64, to what vm_map_user_wired_pages says, and to nothing else.
void vmwire_test_add_user_wired_pages(vm_map_t map, uint64_t pages);

// The wire count of the page. REQUIRES: the page is wired, and `count` is 1 to 2^30 - 1.
void vmwire_test_set_page_wires(vm_page_t page, uint32_t count);

// The BLOCKED bit of the page: somebody is removing all its mappings.
void vmwire_test_set_page_blocked(vm_page_t page, bool blocked);

}  // extern "C"

#endif  // VMWIRE_TESTS_SUPPORT_WIRE_TEST_HOOKS_H_
