// A multiboot kernel (Multiboot Specification 0.6.96): prints what its loader told it.
#include "guests/pc/pc_guest.h"

#define HEADER_MAGIC 0x1badb002
#define LOADER_MAGIC 0x2badb002u
#define ALIGN_MODULES 1
#define WANT_MEMORY 2

// Which parts of the information are there, bits of `flags`.
#define HAS_MEMORY (1u << 0)
#define HAS_COMMAND_LINE (1u << 2)
#define HAS_MODULES (1u << 3)
#define HAS_MEMORY_MAP (1u << 6)
#define HAS_LOADER_NAME (1u << 9)

__attribute__((section(".boot_header"), aligned(4), used)) static const uint32_t header[] = {
    HEADER_MAGIC, ALIGN_MODULES | WANT_MEMORY,
    0u - (uint32_t)(HEADER_MAGIC + (ALIGN_MODULES | WANT_MEMORY))};

struct information {
  uint32_t flags;
  uint32_t lower_kib;  // Of memory below 640 KiB, and from 1 MiB on.
  uint32_t upper_kib;
  uint32_t boot_device;
  uint32_t command_line;
  uint32_t module_count;
  uint32_t modules;
  uint32_t symbols[4];
  uint32_t memory_map_size;
  uint32_t memory_map;
  uint32_t drives[2];
  uint32_t configuration_table;
  uint32_t loader_name;
};

struct module {
  uint32_t start;
  uint32_t end;
  uint32_t text;
  uint32_t reserved;
};

struct memory_entry {
  uint32_t size;  // Of what follows.
  uint64_t start;
  uint64_t bytes;
  uint32_t type;
} __attribute__((packed));

static void print_memory_map(const struct information* info) {
  uint32_t at = info->memory_map;
  while (at < info->memory_map + info->memory_map_size) {
    const struct memory_entry* entry = pc_at(at);
    pc_print_memory("multiboot", entry->start, entry->bytes, entry->type);
    at += entry->size + (uint32_t)sizeof(entry->size);
  }
}

// False if one of them does not begin a page, as the header asks.
static int print_modules(const struct information* info) {
  const struct module* modules = pc_at(info->modules);
  for (uint32_t i = 0; i < info->module_count; ++i) {
    if (modules[i].start % 4096 != 0) return 0;
    pc_print_module("multiboot", pc_at(modules[i].text), pc_at(modules[i].start),
                    modules[i].end - modules[i].start);
  }
  return 1;
}

static void print_memory_sizes(const struct information* info) {
  guest_print("multiboot: ");
  guest_print_decimal(info->lower_kib);
  guest_print(" KiB low, ");
  guest_print_decimal(info->upper_kib);
  guest_print(" KiB from 1 MiB on\n");
}

uint32_t pc_main(uint32_t eax, uint32_t ebx) {
  if (eax != LOADER_MAGIC) return 1;
  const struct information* info = pc_at(ebx);
  guest_print("multiboot: started by ");
  guest_print((info->flags & HAS_LOADER_NAME) != 0 ? pc_at(info->loader_name)
                                                   : "an unknown loader");
  guest_print("\n");
  if ((info->flags & HAS_COMMAND_LINE) != 0)
    pc_print_command_line("multiboot", pc_at(info->command_line));
  if ((info->flags & HAS_MEMORY) == 0) return 2;
  print_memory_sizes(info);
  if ((info->flags & HAS_MEMORY_MAP) == 0) return 2;
  print_memory_map(info);
  if ((info->flags & HAS_MODULES) != 0 && !print_modules(info)) return 3;
  guest_print("multiboot: all well\n");
  return 0;
}
