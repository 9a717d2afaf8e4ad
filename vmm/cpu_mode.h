// In which mode a CPU is, by its registers, and what linear addresses it uses in it.
//
// Invariants: registers are the guest's; every value gives an answer.
// Thread safety: no state.
#ifndef VMWIRE_VMM_CPU_MODE_H_
#define VMWIRE_VMM_CPU_MODE_H_

#include <cstdint>

#include "vmm/cpu_bits.h"
#include "vmm/disassembly.h"
#include "vmm/kvm_abi.h"

namespace vmwire {

// How the code segment makes the CPU read instructions (Intel SDM volume 3, 3.4.5 and 5.2.1).
CodeWidth CodeWidthOf(const kvm_sregs& sregs);

// Where the CPU fetches from. In 64-bit mode the bases of code and stack segments count for nothing
// (Intel SDM volume 3, 3.2.4).
uint64_t LinearRip(const kvm_regs& regs, const kvm_sregs& sregs);

// Where the stack pointer points. The stack is in use from there on upwards.
uint64_t LinearRsp(const kvm_regs& regs, const kvm_sregs& sregs);

// The current privilege level: that of the stack segment (Intel SDM volume 3, 5.5).
inline uint32_t PrivilegeOf(const kvm_sregs& sregs) { return sregs.ss.dpl & 3u; }

// True of a CPU as INIT leaves it (Intel SDM volume 3, 9.1.1): nobody has started it.
bool IsAtReset(const kvm_regs& regs, const kvm_sregs& sregs);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CPU_MODE_H_
