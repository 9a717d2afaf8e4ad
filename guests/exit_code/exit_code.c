// Ends with a code of its own: for tests of the exit status.
#include "guests/runtime/vmwire_guest.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

uint32_t guest_main(const struct vmwire_boot_info* info) {
  (void)info;
  return 7;
}
