// One sentence on why a guest died, or why it does nothing, from the state of its CPU.
//
// Invariants: a guess, and worded as what was seen; empty where nothing stands out. Guest state is
// hostile: every value gives an answer.
// Thread safety: no state.
#ifndef VMWIRE_VMM_LIKELY_CAUSE_H_
#define VMWIRE_VMM_LIKELY_CAUSE_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "vmm/kvm_abi.h"
#include "vmm/page_walk.h"

namespace vmwire {

// What a CPU was doing when it stopped.
struct CpuSnapshot {
  const kvm_run& run;
  const kvm_regs& regs;
  const kvm_sregs& sregs;
  std::span<const std::byte> code;       // At RIP, as far as it can be read.
  std::optional<std::byte> before_code;  // The byte before RIP.
  PageWalk rip;                          // Of the linear address of RIP.
  PageWalk push;                         // Of the place of the next push.
  PageWalk idt;                          // Of the base of the IDT.
  // Why the instruction was not completed in KVM's stead (emulation/); nullopt: it was not tried.
  std::optional<std::string> refusal = std::nullopt;
};

// Of a CPU whose last exit ended the guest: "RIP 0x1234 is not mapped: ...". No full stop.
std::string LikelyCauseOfDeath(const CpuSnapshot& cpu);

// Of a CPU that was stopped from outside: "halted with interrupts off: ...". The last exit says
// nothing here.
std::string LikelyCauseOfSilence(const CpuSnapshot& cpu);

// The mnemonic of a disassembled instruction, without prefixes: "cmpxchg16b" of "lock cmpxchg16b
// [rdi]".
std::string MnemonicOf(const std::string& instruction);

}  // namespace vmwire

#endif  // VMWIRE_VMM_LIKELY_CAUSE_H_
