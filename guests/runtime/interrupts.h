// Interrupts for a guest in C, in a machine with an interrupt controller: each line is counted, and
// the guest looks at the counts. There are no handlers of a guest's own: they would run at CPL 0,
// where some KVMs emulate each instruction.
//
// The lines are those of the two 8259 PICs, 0 to 15, edge-triggered; 0 is the timer, 2 is none. All
// are masked at first.
//
// A guest that is not asked to wait may be interrupted at any instruction, and sees nothing of it
// but the count.
#ifndef VMWIRE_GUESTS_RUNTIME_INTERRUPTS_H_
#define VMWIRE_GUESTS_RUNTIME_INTERRUPTS_H_

#include <stdbool.h>
#include <stdint.h>

#define GUEST_INTERRUPT_LINES 16

// How often each line came.
extern volatile uint64_t guest_interrupt_counts[GUEST_INTERRUPT_LINES];

// Sets the controllers up with every line masked, and lets interrupts through. False if the machine
// has none: the guest must poll its devices. Takes INT3 for itself. Once, before the others.
bool guest_start_interrupts(void);

void guest_unmask_interrupt(uint32_t line);

// Sleeps until the count of `line` is not `seen` any more; gives the count. None is missed: a guest
// first reads the count, then looks for work, and if there is none waits with that count.
uint64_t guest_wait_interrupt(uint32_t line, uint64_t seen);

#endif  // VMWIRE_GUESTS_RUNTIME_INTERRUPTS_H_
