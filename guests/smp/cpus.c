#include "guests/smp/cpus.h"

#include "guests/pc/pc_guest.h"
#include "guests/runtime/memory.h"

// Registers of a local APIC.
#define APIC_ID 0x20
#define APIC_SPURIOUS 0xf0
#define APIC_COMMAND_LOW 0x300
#define APIC_COMMAND_HIGH 0x310

#define APIC_ENABLE 0x1ffu  // With 0xff as the spurious vector.
#define COMMAND_INIT 0x4500u
#define COMMAND_START 0x4600u  // With the page of the code in the low byte.
#define COMMAND_PENDING 0x1000u

// Ticks of the time-stamp counter, whose speed is not known here: between 1 and 6 GHz.
#define TICKS_AFTER_INIT 60000000u  // 10 ms at least.
#define TICKS_OF_FIRST_TRY 60000000u
#define TICKS_OF_SECOND_TRY 20000000000u  // 3 s at least: a host may have less of them than we see.

#define STACK_SIZE 2048

// The trampoline's code, and what it reads.
extern const char smp_trampoline[];
extern const char smp_trampoline_end[];
uint32_t smp_next_cpu;
uint32_t smp_next_stack;
volatile uint32_t smp_cpus_started;

static uint8_t stacks[SMP_MAX_CPUS][STACK_SIZE] __attribute__((aligned(16)));

static uint32_t apic_read(const struct smp_cpus* cpus, uint32_t offset) {
  return *(volatile uint32_t*)(uintptr_t)(cpus->apic_address + offset);
}

static void apic_write(const struct smp_cpus* cpus, uint32_t offset, uint32_t value) {
  *(volatile uint32_t*)(uintptr_t)(cpus->apic_address + offset) = value;
}

static void send(const struct smp_cpus* cpus, uint8_t apic_id, uint32_t command) {
  apic_write(cpus, APIC_COMMAND_HIGH, (uint32_t)apic_id << 24);
  apic_write(cpus, APIC_COMMAND_LOW, command);
  while ((apic_read(cpus, APIC_COMMAND_LOW) & COMMAND_PENDING) != 0) __asm__ volatile("pause");
}

// Gives 1 as soon as `count` CPUs have started, 0 if that takes longer.
static int wait_for_started(uint32_t count, uint64_t ticks) {
  uint64_t begin = guest_read_tsc();
  while (smp_cpus_started < count) {
    if (guest_read_tsc() - begin > ticks) return 0;
    __asm__ volatile("pause");
  }
  return 1;
}

// Starts the CPU that `started` others of them came before.
static int start_cpu(const struct smp_cpus* cpus, uint8_t apic_id, uint32_t started) {
  uint32_t start = COMMAND_START | SMP_TRAMPOLINE_ADDRESS >> 12;
  smp_next_cpu = started + 1;
  smp_next_stack = (uint32_t)(uintptr_t)stacks[started] + STACK_SIZE;
  send(cpus, apic_id, COMMAND_INIT);
  wait_for_started(started + 1, TICKS_AFTER_INIT);
  send(cpus, apic_id, start);
  if (wait_for_started(started + 1, TICKS_OF_FIRST_TRY)) return 1;
  send(cpus, apic_id, start);
  return wait_for_started(started + 1, TICKS_OF_SECOND_TRY);
}

uint32_t smp_start_cpus(const struct smp_cpus* cpus) {
  memcpy((void*)SMP_TRAMPOLINE_ADDRESS, smp_trampoline,
         (uint32_t)(smp_trampoline_end - smp_trampoline));
  apic_write(cpus, APIC_SPURIOUS, APIC_ENABLE);
  uint8_t own_id = (uint8_t)(apic_read(cpus, APIC_ID) >> 24);
  uint32_t started = 0;
  for (uint32_t i = 0; i < cpus->count; ++i) {
    if (cpus->apic_ids[i] == own_id) continue;
    if (!start_cpu(cpus, cpus->apic_ids[i], started)) break;
    ++started;
  }
  return started + 1;
}
