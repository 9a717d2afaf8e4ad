// Does one instruction that KVM's own emulator does not know, outside of it:
// INT3, INT n, XGETBV, CLAC, STAC, CMPXCHG16B, MOVBE.
//
//   state, code at RIP --decode--> checks, memory --> new registers | exception | interrupt
//
// KVM emulates code that the CPU cannot run for it, which on some hosts is all code at CPL 0, and
// gives up on what its emulator lacks (KVM_INTERNAL_ERROR_EMULATION). These instructions are simple
// enough to be done right from outside. What is not done: the single-step trap after the
// instruction (RFLAGS.TF), debug registers, the shadow stack.
//
// Invariants: only registers and memory that the instruction changes are changed; nothing is, if an
// exception or a status comes of it.
// Thread safety: no state; one thread a CPU.
#ifndef VMWIRE_VMM_EMULATION_COMPLETE_INSTRUCTION_H_
#define VMWIRE_VMM_EMULATION_COMPLETE_INSTRUCTION_H_

#include <cstddef>
#include <span>

#include "absl/status/statusor.h"
#include "vmm/emulation/emulated_cpu.h"
#include "vmm/emulation/linear_memory.h"

namespace vmwire {

// `code`: up to 15 bytes at RIP. Unimplemented: bytes that are no instruction or another one than
// those above, a mode or a KVM in which it is not done. Unavailable: it accesses what is no memory.
absl::StatusOr<EmulationEffect> CompleteInstruction(const EmulatedCpu& cpu,
                                                    std::span<const std::byte> code,
                                                    LinearMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_EMULATION_COMPLETE_INSTRUCTION_H_
