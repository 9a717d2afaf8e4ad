#include "guests/runtime/timing.h"

#define ASSUMED_TSC_KHZ 4000000u
#define PAUSES 64

uint64_t guest_deadline(const struct vmwire_boot_info* info, uint32_t seconds) {
  uint64_t khz = info->tsc_khz != 0 ? info->tsc_khz : ASSUMED_TSC_KHZ;
  return guest_read_tsc() + seconds * khz * 1000;
}

bool guest_is_past(uint64_t deadline) {
  for (int i = 0; i < PAUSES; ++i) __asm__ volatile("pause");
  return guest_read_tsc() > deadline;
}

void guest_print_speed(const struct vmwire_boot_info* info, const char* name, uint64_t bytes,
                       uint64_t cycles) {
  if (cycles == 0) cycles = 1;
  guest_print(name);
  guest_print(" ");
  if (info->tsc_khz == 0) {
    guest_print_decimal(bytes < 1024 ? cycles : cycles / (bytes / 1024));
    guest_print(" cycles per KiB\n");
    return;
  }
  // Bytes a cycle with 16 binary places: 128 GiB are 37 bits, so nothing overflows.
  guest_print_decimal(((bytes << 16) / cycles * info->tsc_khz >> 16) * 1000);
  guest_print(" bytes per second\n");
}
