// Counts interrupts of the timer, asleep between them; polls the time-stamp counter where the
// machine has no interrupts.
#include "guests/runtime/interrupts.h"
#include "guests/runtime/vmwire_guest.h"

VMWIRE_START_MODE(VMWIRE_LONG64_RING3);

#define TICKS 10

// The 8254 (Intel 8254 datasheet, "Programming the 8254").
#define TIMER_LINE 0
#define TIMER_COUNTER0 0x40
#define TIMER_CONTROL 0x43
#define TIMER_RATE_GENERATOR 0x34  // Counter 0, low byte then high byte, mode 2.
#define TIMER_READ_STATUS 0xe2     // Of counter 0: read-back without the count.
#define TIMER_STATUS_MODE_BITS 0x3f
#define TIMER_HERTZ 1193182
#define TICK_HERTZ 1000

// A tick where the frequency of the time-stamp counter is not known.
#define CYCLES_OF_UNKNOWN_TICK 1000000

static bool start_timer(void) {
  const uint16_t count = TIMER_HERTZ / TICK_HERTZ;
  guest_out8(TIMER_CONTROL, TIMER_RATE_GENERATOR);
  guest_out8(TIMER_COUNTER0, (uint8_t)count);
  guest_out8(TIMER_COUNTER0, (uint8_t)(count >> 8));
  guest_out8(TIMER_CONTROL, TIMER_READ_STATUS);
  return (guest_in8(TIMER_COUNTER0) & TIMER_STATUS_MODE_BITS) == TIMER_RATE_GENERATOR;
}

static void count_interrupts(void) {
  guest_unmask_interrupt(TIMER_LINE);
  uint64_t seen = 0;
  while (seen < TICKS) seen = guest_wait_interrupt(TIMER_LINE, seen);
  guest_print("irq: ");
  guest_print_decimal(TICKS);
  guest_print(" timer interrupts\n");
}

static void poll(uint64_t tsc_khz, const char* what_lacks) {
  const uint64_t cycles = tsc_khz != 0 ? tsc_khz * 1000 / TICK_HERTZ : CYCLES_OF_UNKNOWN_TICK;
  const uint64_t start = guest_read_tsc();
  while (guest_read_tsc() - start < TICKS * cycles) {
  }
  guest_print("irq: no ");
  guest_print(what_lacks);
  guest_print(": polled ");
  guest_print_decimal(TICKS);
  guest_print(" ticks\n");
}

uint32_t guest_main(const struct vmwire_boot_info* info) {
  if (!guest_start_interrupts()) {
    poll(info->tsc_khz, "interrupt controller");
  } else if (!start_timer()) {
    poll(info->tsc_khz, "timer");
  } else {
    count_interrupts();
  }
  return 0;
}
