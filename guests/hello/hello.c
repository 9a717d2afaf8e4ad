// The first guest: says where it runs, and ends well.
#include "guests/runtime/vmwire_guest.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

static uint64_t privilege_level(void) {
  uint64_t selector;
  __asm__("mov %%cs, %0" : "=r"(selector));
  return selector & 3;
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  guest_print("Hello from a vmwire guest: 64-bit code in ring ");
  guest_print_decimal(privilege_level());
  guest_print(", ");
  guest_print_decimal(info->memory_bytes >> 10);
  guest_print(" KiB of memory\n");
  return 0;
}
