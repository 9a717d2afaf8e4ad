#include "guests/runtime/memory.h"

// In assembler, since a compiler would turn a loop here into a call of the very function.

void* memcpy(void* to, const void* from, size_t bytes) {
  void* result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return result;
}

void* memmove(void* to, const void* from, size_t bytes) {
  if ((uintptr_t)to - (uintptr_t)from >= bytes) return memcpy(to, from, bytes);
  char* last_to = (char*)to + bytes - 1;
  const char* last_from = (const char*)from + bytes - 1;
  __asm__ volatile("std\n\trep movsb\n\tcld"
                   : "+D"(last_to), "+S"(last_from), "+c"(bytes)
                   :
                   : "memory", "cc");
  return to;
}

void* memset(void* to, int value, size_t bytes) {
  void* result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
  return result;
}

int memcmp(const void* a, const void* b, size_t bytes) {
  const volatile unsigned char* x = a;
  const volatile unsigned char* y = b;
  for (; bytes > 0; --bytes, ++x, ++y) {
    unsigned char left = *x;
    unsigned char right = *y;
    if (left != right) return left < right ? -1 : 1;
  }
  return 0;
}

bool guest_is_free_memory(const struct vmwire_boot_info* info, uint64_t start, uint64_t bytes) {
  uint64_t end = start + bytes;
  if (start < info->image_end && info->image_start < end) return false;
  for (uint32_t i = 0; i < info->range_count; ++i) {
    uint64_t range_end = info->ranges[i].start + info->ranges[i].size;
    if (info->ranges[i].start <= start && end <= range_end) return true;
  }
  return false;
}
