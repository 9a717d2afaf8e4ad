// Executes an undefined instruction: for tests of what the monitor says of an exception.
#include "guests/runtime/vmwire_guest.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

uint32_t guest_main(const struct vmwire_boot_info* info) {
  (void)info;
  __asm__ volatile("ud2");
  return 0;
}
