// Time for a guest in C: waits that end, and speeds.
#ifndef VMWIRE_GUESTS_RUNTIME_TIMING_H_
#define VMWIRE_GUESTS_RUNTIME_TIMING_H_

#include <stdbool.h>
#include <stdint.h>

#include "guests/runtime/vmwire_guest.h"

// What guest_read_tsc gives `seconds` from now, if the boot info knows the frequency, else at 4
// GHz.
uint64_t guest_deadline(const struct vmwire_boot_info* info, uint32_t seconds);

// True once guest_read_tsc is past `deadline`. Takes a while, on purpose: for loops that poll.
bool guest_is_past(uint64_t deadline);

// Prints "NAME N bytes per second\n", or the cycles a KiB takes if the frequency is not known.
void guest_print_speed(const struct vmwire_boot_info* info, const char* name, uint64_t bytes,
                       uint64_t cycles);

#endif  // VMWIRE_GUESTS_RUNTIME_TIMING_H_
