// Reads memory that is not mapped: for tests of what the monitor says of a page fault.
#include "guests/runtime/vmwire_guest.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

uint32_t guest_main(const struct vmwire_boot_info* info) {
  (void)info;
  // Above all memory that a guest can have.
  volatile uint32_t* unmapped = (volatile uint32_t*)UINT64_C(0x10000001230);
  return *unmapped;
}
