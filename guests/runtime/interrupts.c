#include "guests/runtime/interrupts.h"

#include "guests/runtime/vmwire_guest.h"

// The 8259 (Intel 8259A datasheet, "Programming the 8259A").
#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1
#define PIC_ICW1 0x11  // Cascaded, edge-triggered, ICW4 follows.
#define PIC_ICW4 0x01  // 8086 mode.
#define PIC_CASCADE_LINE 2

// The first vectors that are not the CPU's own.
#define FIRST_VECTOR 32
#define TRAP_VECTOR 3  // INT3.

#define GATE_DPL0 0x8e  // Present, type 14: an interrupt gate.
#define GATE_DPL3 0xee
#define RING0_CODE_SELECTOR 0x08

struct idt_gate {
  uint64_t low;
  uint64_t high;
};

// interrupts.S.
extern const char guest_interrupt_entries[];
extern const char guest_wait_trap[];

volatile uint64_t guest_interrupt_counts[GUEST_INTERRUPT_LINES];

static void set_gate(uint32_t vector, uint64_t handler, uint64_t type) {
  struct idt_gate* const idt = (struct idt_gate*)(uint64_t)VMWIRE_IDT_ADDRESS;
  idt[vector].low = (handler & 0xffff) | (uint64_t)RING0_CODE_SELECTOR << 16 | type << 40 |
                    (handler >> 16 & 0xffff) << 48;
  idt[vector].high = handler >> 32;
}

static void mask_all(void) {
  guest_out8(PIC1_DATA, 0xff & ~(1 << PIC_CASCADE_LINE));
  guest_out8(PIC2_DATA, 0xff);
}

static void initialize_controllers(void) {
  guest_out8(PIC1_COMMAND, PIC_ICW1);
  guest_out8(PIC1_DATA, FIRST_VECTOR);
  guest_out8(PIC1_DATA, 1 << PIC_CASCADE_LINE);
  guest_out8(PIC1_DATA, PIC_ICW4);
  guest_out8(PIC2_COMMAND, PIC_ICW1);
  guest_out8(PIC2_DATA, FIRST_VECTOR + 8);
  guest_out8(PIC2_DATA, PIC_CASCADE_LINE);
  guest_out8(PIC2_DATA, PIC_ICW4);
  mask_all();
}

// STI and HLT are not for CPL 3: even with IOPL 3 a KVM without VMX and SVM faults STI.
static void trap(volatile uint64_t* counter, uint64_t unwanted) {
  __asm__ volatile("int3" : : "D"(counter), "S"(unwanted) : "memory", "cc");
}

bool guest_start_interrupts(void) {
  // A mask that reads as it was written: a port without a device reads all ones.
  guest_out8(PIC2_DATA, 0x5a);
  if (guest_in8(PIC2_DATA) != 0x5a) return false;
  initialize_controllers();
  for (uint32_t line = 0; line < GUEST_INTERRUPT_LINES; ++line) {
    set_gate(FIRST_VECTOR + line, (uint64_t)guest_interrupt_entries + UINT64_C(16) * line,
             GATE_DPL0);
  }
  set_gate(TRAP_VECTOR, (uint64_t)guest_wait_trap, GATE_DPL3);
  // Comes back at once, since the counter is another, with interrupts on.
  trap(&guest_interrupt_counts[0], guest_interrupt_counts[0] + 1);
  return true;
}

void guest_unmask_interrupt(uint32_t line) {
  const uint16_t port = line < 8 ? PIC1_DATA : PIC2_DATA;
  guest_out8(port, (uint8_t)(guest_in8(port) & ~(1u << line % 8)));
}

uint64_t guest_wait_interrupt(uint32_t line, uint64_t seen) {
  if (guest_interrupt_counts[line] == seen) trap(&guest_interrupt_counts[line], seen);
  return guest_interrupt_counts[line];
}
