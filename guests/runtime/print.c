#include "guests/runtime/vmwire_guest.h"

// Nothing is polled: the monitor's 16550A takes a byte with each write, and each access to a port
// costs an exit. `rep outsb` would not save any: KVM gives one exit a byte for it too, and on some
// processors emulates it more slowly than a plain OUT.
static void print_char(char c) { guest_out8(VMWIRE_SERIAL_PORT, (uint8_t)c); }

void guest_print(const char* text) {
  for (; *text != '\0'; ++text) print_char(*text);
}

// Divides by less than 2^16 and gives the remainder; in pieces of 16 bits, since 32-bit guests have
// no library that divides 64.
static uint32_t divide(uint64_t* value, uint32_t by) {
  uint64_t quotient = 0;
  uint32_t remainder = 0;
  for (int shift = 48; shift >= 0; shift -= 16) {
    uint32_t piece = remainder << 16 | (uint32_t)(*value >> shift & 0xffff);
    quotient = quotient << 16 | piece / by;
    remainder = piece % by;
  }
  *value = quotient;
  return remainder;
}

static void print_number(uint64_t value, uint32_t base) {
  char digits[20];  // 64 bits in decimal.
  int count = 0;
  do {
    digits[count++] = "0123456789abcdef"[divide(&value, base)];
  } while (value != 0);
  while (count > 0) print_char(digits[--count]);
}

void guest_print_decimal(uint64_t value) { print_number(value, 10); }

void guest_print_hex(uint64_t value) {
  guest_print("0x");
  print_number(value, 16);
}
