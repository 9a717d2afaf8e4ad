// The four functions of the C library that a compiler may call by itself, and a look at the map of
// memory.
#ifndef VMWIRE_GUESTS_RUNTIME_MEMORY_H_
#define VMWIRE_GUESTS_RUNTIME_MEMORY_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guests/runtime/vmwire_guest.h"

void* memcpy(void* to, const void* from, size_t bytes);
void* memmove(void* to, const void* from, size_t bytes);
void* memset(void* to, int value, size_t bytes);
int memcmp(const void* a, const void* b, size_t bytes);

// True if all of [start, start + bytes) is memory, and none of it is this image.
bool guest_is_free_memory(const struct vmwire_boot_info* info, uint64_t start, uint64_t bytes);

#endif  // VMWIRE_GUESTS_RUNTIME_MEMORY_H_
