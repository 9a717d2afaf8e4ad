// A PVH kernel: prints what it was started with.
#include "guests/pc/pvh.h"

#include "guests/pc/pc_guest.h"

PVH_ENTRY("_start");

static void print_start(const struct pvh_start_info* info) {
  guest_print("pvh: started, version ");
  guest_print_decimal(info->version);
  guest_print(info->rsdp != 0 ? ", with ACPI\n" : ", without ACPI\n");
}

static void print_memory_map(const struct pvh_start_info* info) {
  const struct pvh_memory* map = pc_at(info->memory_map);
  for (uint32_t i = 0; i < info->memory_map_count; ++i)
    pc_print_memory("pvh", map[i].start, map[i].size, map[i].type);
}

static void print_modules(const struct pvh_start_info* info) {
  const struct pvh_module* modules = pc_at(info->modules);
  for (uint32_t i = 0; i < info->module_count; ++i) {
    const char* text = modules[i].command_line != 0 ? pc_at(modules[i].command_line) : "";
    pc_print_module("pvh", text, pc_at(modules[i].start), (uint32_t)modules[i].size);
  }
}

uint32_t pc_main(uint32_t eax, uint32_t ebx) {
  (void)eax;  // The protocol says nothing of it.
  const struct pvh_start_info* info = pc_at(ebx);
  if (info->magic != PVH_START_MAGIC) return 1;
  if (info->version < 1 || info->memory_map_count == 0) return 2;
  print_start(info);
  if (info->command_line != 0) pc_print_command_line("pvh", pc_at(info->command_line));
  print_memory_map(info);
  print_modules(info);
  guest_print("pvh: all well\n");
  return 0;
}
