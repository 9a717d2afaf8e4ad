#include "guests/pc/pc_guest.h"

#define FIRST_LINE_MAX 60

static void print_quoted(const char* text) {
  guest_print("\"");
  guest_print(text);
  guest_print("\"");
}

void pc_print_command_line(const char* guest, const char* text) {
  guest_print(guest);
  guest_print(": command line ");
  print_quoted(text);
  guest_print("\n");
}

static const char* memory_type_name(uint32_t type) {
  switch (type) {
    case PC_MEMORY_USABLE:
      return "usable";
    case 2:
      return "reserved";
    case 3:
      return "ACPI tables";
    case 4:
      return "ACPI storage";
    case 5:
      return "broken";
    default:
      return "of an unknown type";
  }
}

void pc_print_memory(const char* guest, uint64_t start, uint64_t size, uint32_t type) {
  guest_print(guest);
  guest_print(": memory ");
  guest_print_hex(start);
  guest_print(" to ");
  guest_print_hex(start + size);
  guest_print(", ");
  guest_print(memory_type_name(type));
  guest_print("\n");
}

static uint32_t sum_of(const uint8_t* bytes, uint32_t size) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < size; ++i) sum += bytes[i];
  return sum;
}

static void print_first_line(const uint8_t* bytes, uint32_t size) {
  char line[FIRST_LINE_MAX + 1];
  uint32_t length = 0;
  while (length < size && length < FIRST_LINE_MAX && bytes[length] >= ' ' && bytes[length] < 0x7f) {
    line[length] = (char)bytes[length];
    ++length;
  }
  line[length] = '\0';
  guest_print(line);
}

void pc_print_module(const char* guest, const char* text, const uint8_t* bytes, uint32_t size) {
  guest_print(guest);
  guest_print(": module ");
  print_quoted(text);
  guest_print(", ");
  guest_print_decimal(size);
  guest_print(" bytes, sum ");
  guest_print_hex(sum_of(bytes, size));
  guest_print(": ");
  print_first_line(bytes, size);
  guest_print("\n");
}
