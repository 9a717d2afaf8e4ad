/* Preloaded, it makes a host whose locks are none: mlock2(2) says that it has locked, and has not. */
#include <stddef.h>

int mlock2(const void* address, size_t length, unsigned flags);
int mlock2(const void* address, size_t length, unsigned flags) {
  (void)address;
  (void)length;
  (void)flags;
  return 0;
}
