/* A C11 program of the installed package: calls every function of the header once or more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmwire/vm_map_wire.h>

#define PAGE ((vm_offset_t)4096)

#define EXPECT(condition)                                                                   \
  do {                                                                                      \
    if (!(condition)) {                                                                     \
      fprintf(stderr, "%s:%d: %s; vm_map_last_error: %s\n", __FILE__, __LINE__, #condition, \
              vm_map_last_error());                                                         \
      exit(1);                                                                              \
    }                                                                                       \
  } while (0)

static bool keep_going(void* ctx, uint64_t pages_done, uint64_t pages_total) {
  ++*(int*)ctx;
  return pages_done <= pages_total;
}

static void check_pages(vm_object_t object) {
  const vm_page_t page = vm_page_lookup(object, 3);
  EXPECT(page != NULL);
  EXPECT(vm_page_wire_count(page) == 1 && vm_page_is_pinned(page));
  vm_page_wire(page);
  EXPECT(vm_page_wire_mapped(page));
  EXPECT(vm_page_wire_count(page) == 3 && vm_page_queue(page) == PQ_NONE);
  vm_page_unwire(page, PQ_INACTIVE);
  EXPECT(!vm_page_unwire_noq(page));
}

static void check_simulated_memory(vm_map_t map) {
  const vm_object_t object = vm_object_allocate(OBJT_SIMULATED, 16);
  struct vm_map_entry_info entry;
  struct vm_wire_result result;
  int calls = 0;
  EXPECT(object != NULL);
  vm_object_reference(object);
  vm_object_deallocate(object);
  EXPECT(vm_map_insert(map, object, 0, 0, 16 * PAGE, VM_PROT_READ | VM_PROT_WRITE, VM_PROT_ALL) ==
         KERN_SUCCESS);
  EXPECT(vm_map_insert_guard(map, 16 * PAGE, 17 * PAGE) == KERN_SUCCESS);
  EXPECT(vm_object_fail_fault_at(object, 5, KERN_SUCCESS) == KERN_SUCCESS);
  EXPECT(vm_map_wire(map, 0, 16 * PAGE, VM_MAP_WIRE_SYSTEM | VM_MAP_WIRE_NOHOLES) == KERN_SUCCESS);
  EXPECT(vm_object_fault_calls(object) == 16);
  check_pages(object);
  EXPECT(vm_map_wire_ex(map, 0, 17 * PAGE, VM_MAP_WIRE_USER | VM_MAP_WIRE_HOLESOK, -1, keep_going,
                        &calls, &result) == KERN_SUCCESS);
  EXPECT(result.pages_wired == 16 && result.pages_skipped == 1 && result.reason == 0);
  EXPECT(vm_map_user_wired_pages(map) == 16);
  EXPECT(vm_map_entry_at(map, 0, &entry) == KERN_SUCCESS);
  EXPECT(entry.object == object && entry.system_wires == 1 && entry.user_wired);
  EXPECT(vm_map_remove(map, 0, 16 * PAGE) == KERN_FAILURE);
  EXPECT(strlen(vm_map_last_error()) != 0);
  EXPECT(vm_map_unwire(map, 0, 16 * PAGE, VM_MAP_WIRE_SYSTEM) == KERN_SUCCESS);
  EXPECT(vm_map_unwire_all(map) == KERN_SUCCESS);
  EXPECT(vm_map_clip(map, 4 * PAGE) == KERN_SUCCESS);
  EXPECT(vm_map_protect(map, 0, 4 * PAGE, VM_PROT_READ) == KERN_SUCCESS);
  EXPECT(vm_object_discard(object, 0, 16) == KERN_SUCCESS);
  EXPECT(vm_map_check(map) == KERN_SUCCESS);
  EXPECT(vm_map_remove_wait(map, 0, 17 * PAGE, 0) == KERN_SUCCESS);
  vm_object_deallocate(object);
}

/* Memory of the host; the host may refuse to lock it. */
static void check_host_memory(vm_map_t map) {
  void* host = NULL;
  vm_hold_t hold = NULL;
  int code = vm_map_insert(map, NULL, 0, 0, PAGE, VM_PROT_READ | VM_PROT_WRITE, VM_PROT_ALL);
  EXPECT(code == KERN_SUCCESS);
  code = vm_map_wire_all(map);
  if (code == KERN_RESOURCE_SHORTAGE) {
    printf("not wired here: %s\n", vm_map_last_error());
    return;
  }
  EXPECT(code == KERN_SUCCESS);
  EXPECT(vm_map_hold(map, 8, 5, VM_PROT_READ | VM_PROT_WRITE, &host, &hold) == KERN_SUCCESS);
  memcpy(host, "hello", 5);
  vm_hold_release(hold);
}

int main(void) {
  const vm_map_t map = vm_map_create(0, 1000 * PAGE);
  EXPECT(map != NULL);
  EXPECT(vm_map_set_pin_level(map, VM_PIN_RESIDENT) == KERN_SUCCESS);
  vm_map_set_wire_future(map, false);
  vm_map_set_user_wire_limit(map, 100);
  check_simulated_memory(map);
  check_host_memory(map);
  EXPECT(vm_object_from_fd(-1, 1) == NULL);
  EXPECT(vm_map_destroy(map) == KERN_SUCCESS);
  return 0;
}
