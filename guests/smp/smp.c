// A PVH kernel with several CPUs: starts all that ACPI tells of, and has each of them write and
// check a part of memory of its own, all at the same time.
#include "guests/pc/pc_guest.h"
#include "guests/pc/pvh.h"
#include "guests/smp/cpus.h"

PVH_ENTRY("_start");

#define MIB 0x100000u
#define PAGE_SIZE 4096u

extern const char pc_image_end[];

// What the CPUs share: set before they are let go, but for `results`, of which each has one.
static uint32_t memory_start;
static uint32_t bytes_each;
static volatile uint32_t go;
static volatile enum { kBusy = 0, kWell, kWrong } results[SMP_MAX_CPUS];

// One word of a page is enough to have the page, and is all that a CPU can do in time which is
// emulated; the words move along with the pages.
static volatile uint32_t* word_of(uint32_t page) {
  return (volatile uint32_t*)(uintptr_t)(page + (page / PAGE_SIZE * 4) % PAGE_SIZE);
}

static uint32_t pattern(uint32_t cpu, uint32_t page) { return page ^ (cpu + 1) * 0x9e3779b9u; }

static int check_part(uint32_t cpu) {
  uint32_t start = memory_start + cpu * bytes_each;
  for (uint32_t page = start; page < start + bytes_each; page += PAGE_SIZE) {
    if (*word_of(page) != pattern(cpu, page)) return 0;
  }
  return 1;
}

static void work_on_part(uint32_t cpu) {
  uint32_t start = memory_start + cpu * bytes_each;
  for (uint32_t page = start; page < start + bytes_each; page += PAGE_SIZE)
    *word_of(page) = pattern(cpu, page);
  results[cpu] = check_part(cpu) ? kWell : kWrong;
}

void smp_cpu_main(uint32_t cpu) {
  while (!go) __asm__ volatile("pause");
  work_on_part(cpu);
}

// Shares out the memory behind the image, in whole MiB. Gives 0 if there is too little.
static int share_memory(const struct pvh_start_info* info, uint32_t cpus) {
  const struct pvh_memory* map = pc_at(info->memory_map);
  memory_start = ((uint32_t)(uintptr_t)pc_image_end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  for (uint32_t i = 0; i < info->memory_map_count; ++i) {
    uint64_t end = map[i].start + map[i].size;
    if (map[i].type != PC_MEMORY_USABLE || map[i].start > memory_start || end <= memory_start)
      continue;
    bytes_each = (uint32_t)(end - memory_start) / cpus & ~(MIB - 1);
  }
  return bytes_each != 0;
}

// Waits until all are done, however long it takes, and looks at what the others wrote.
static int all_well(uint32_t cpus) {
  for (uint32_t cpu = 0; cpu < cpus; ++cpu) {
    while (results[cpu] == kBusy) __asm__ volatile("pause");
    if (results[cpu] != kWell || !check_part(cpu)) return 0;
  }
  return 1;
}

uint32_t pc_main(uint32_t eax, uint32_t ebx) {
  (void)eax;
  const struct pvh_start_info* info = pc_at(ebx);
  if (info->magic != PVH_START_MAGIC) return 1;
  struct smp_cpus cpus;
  if (!smp_find_cpus(info->rsdp, &cpus)) return 2;
  if (!share_memory(info, cpus.count)) return 3;
  uint32_t started = smp_start_cpus(&cpus);
  if (started != cpus.count) return 4;
  go = 1;
  work_on_part(0);
  if (!all_well(started)) return 5;
  guest_print("smp: ");
  guest_print_decimal(started);
  guest_print(started == 1 ? " cpu, " : " cpus, ");
  guest_print_decimal(bytes_each / MIB);
  guest_print(" MiB each, all well\n");
  return 0;
}
