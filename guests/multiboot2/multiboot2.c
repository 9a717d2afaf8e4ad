// A multiboot2 kernel (Multiboot2 Specification 2.0): prints what its loader told it.
#include "guests/pc/pc_guest.h"

#define HEADER_MAGIC 0xe85250d6u
#define LOADER_MAGIC 0x36d76289u

// Tags of the information.
#define TAG_END 0
#define TAG_COMMAND_LINE 1
#define TAG_LOADER_NAME 2
#define TAG_MODULE 3
#define TAG_MEMORY_MAP 6
#define TAG_ACPI_OLD 14
#define TAG_ACPI_NEW 15

// The header's own tags: the memory map is asked for, and modules that begin pages.
struct header {
  uint32_t magic;
  uint32_t architecture;  // 0: i386 in protected mode.
  uint32_t size;
  uint32_t checksum;
  struct {
    uint16_t type, flags;
    uint32_t size;
    uint32_t wanted[2];
  } request;
  struct {
    uint16_t type, flags;
    uint32_t size;
  } align_modules, end;
};

__attribute__((section(".boot_header"), aligned(8), used)) static const struct header header = {
    .magic = HEADER_MAGIC,
    .size = sizeof(header),
    .checksum = 0u - (HEADER_MAGIC + (uint32_t)sizeof(header)),
    .request = {.type = 1, .size = 16, .wanted = {TAG_COMMAND_LINE, TAG_MEMORY_MAP}},
    .align_modules = {.type = 6, .size = 8},
    .end = {.type = 0, .size = 8},
};

struct tag {
  uint32_t type;
  uint32_t size;  // Of all of it; the next begins at the next multiple of 8.
};

struct text_tag {
  struct tag tag;
  char text[];
};

struct module_tag {
  struct tag tag;
  uint32_t start;
  uint32_t end;
  char text[];
};

struct memory_entry {
  uint64_t start;
  uint64_t bytes;
  uint32_t type;
  uint32_t reserved;
};

struct memory_map_tag {
  struct tag tag;
  uint32_t entry_size;
  uint32_t entry_version;
  char entries[];
};

// What must be there.
struct seen {
  uint32_t memory_maps;
  uint32_t misplaced_modules;
};

static void print_loader(const char* name) {
  guest_print("multiboot2: started by ");
  guest_print(name);
  guest_print("\n");
}

static void print_memory_map(const struct memory_map_tag* map) {
  const char* end = (const char*)map + map->tag.size;
  for (const char* at = map->entries; at < end; at += map->entry_size) {
    const struct memory_entry* entry = (const struct memory_entry*)(const void*)at;
    pc_print_memory("multiboot2", entry->start, entry->bytes, entry->type);
  }
}

static void print_tag(const struct tag* tag, struct seen* seen) {
  const struct text_tag* text = (const struct text_tag*)(const void*)tag;
  const struct module_tag* module = (const struct module_tag*)(const void*)tag;
  switch (tag->type) {
    case TAG_COMMAND_LINE:
      pc_print_command_line("multiboot2", text->text);
      break;
    case TAG_LOADER_NAME:
      print_loader(text->text);
      break;
    case TAG_MODULE:
      seen->misplaced_modules += module->start % 4096 != 0;
      pc_print_module("multiboot2", module->text, pc_at(module->start),
                      module->end - module->start);
      break;
    case TAG_MEMORY_MAP:
      ++seen->memory_maps;
      print_memory_map((const struct memory_map_tag*)(const void*)tag);
      break;
    case TAG_ACPI_OLD:
    case TAG_ACPI_NEW:
      guest_print("multiboot2: there is ACPI\n");
      break;
    default:
      break;
  }
}

uint32_t pc_main(uint32_t eax, uint32_t ebx) {
  if (eax != LOADER_MAGIC || ebx % 8 != 0) return 1;
  const uint32_t* total_size = pc_at(ebx);
  struct seen seen = {0, 0};
  uint32_t at = 8;
  for (;;) {
    if (at + sizeof(struct tag) > *total_size) return 2;  // There was no end.
    const struct tag* tag = pc_at(ebx + at);
    if (tag->type == TAG_END) break;
    print_tag(tag, &seen);
    at += (tag->size + 7) & ~7u;
  }
  if (seen.memory_maps != 1) return 2;
  if (seen.misplaced_modules != 0) return 3;
  guest_print("multiboot2: all well\n");
  return 0;
}
