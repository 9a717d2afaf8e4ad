// Whether an INT instruction may use the gate of its vector.
//
// KVM delivers what is injected as if hardware had raised it, and so does not ask for the rights
// that INT needs. This does.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_EMULATION_INTERRUPT_GATE_H_
#define VMWIRE_VMM_EMULATION_INTERRUPT_GATE_H_

#include <cstdint>

#include "vmm/emulation/linear_memory.h"

namespace vmwire {

// The checks of INT n and INT3 up to the gate (Intel SDM volume 2, "INT n"): inside the IDT, of a
// type that interrupts take, open to the current privilege level, present. In real mode every
// vector is open. Unimplemented: virtual-8086 mode, or a task gate. Errors as LinearMemory::Read.
StepResult CheckInterruptGate(uint8_t vector, const EmulatedCpu& cpu, LinearMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_EMULATION_INTERRUPT_GATE_H_
