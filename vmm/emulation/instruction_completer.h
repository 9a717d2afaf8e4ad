// Completes, on a vCPU, the instruction on which KVM gave up, so that the guest can go on.
//
//   KVM_EXIT_INTERNAL_ERROR (emulation) --> registers, code --CompleteInstruction--> registers,
//                                                                        events --> KVM_RUN
//
// Software interrupts are injected as an interrupt with RIP behind the instruction, after the
// checks that only the instruction asks for (interrupt_gate.h); faults as exceptions.
//
// KVM delivers one event an entry. So an interrupt or NMI that was under way when KVM gave up goes
// first, and an instruction that raises an event of its own is put off: nothing of it is done but
// that the vCPU can run on, and after that handler's IRET the guest comes back to it.
//
// Invariants: a vCPU whose instruction was not completed is as it was. (Memory is not, where KVM
// refuses the registers after an instruction that wrote: other CPUs may have read it since.)
// Thread safety: on the thread that runs the vCPU, between runs.
#ifndef VMWIRE_VMM_EMULATION_INSTRUCTION_COMPLETER_H_
#define VMWIRE_VMM_EMULATION_INSTRUCTION_COMPLETER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "memory/guest_memory.h"
#include "vmm/emulation/emulated_cpu.h"
#include "vmm/vcpu.h"

namespace vmwire {

class InstructionCompleter {
 public:
  // Gets a line, without its end, for each completed instruction: "rip 0x1000: xgetbv", and of one
  // that raised an exception "rip 0x1000: cmpxchg16b (exception 14)".
  using Trace = std::function<void(const std::string& line)>;

  // REQUIRES: `vcpu` and `memory` outlive this object.
  InstructionCompleter(Vcpu& vcpu, const GuestMemory& memory, Trace trace = {})
      : vcpu_(vcpu), memory_(memory), trace_(std::move(trace)) {}

  // True if the vCPU can run on: the instruction is done, or put off. False if the last exit was no
  // failed emulation, or of something that is not completed here; `refusal` then says why.
  bool TryComplete();

  const absl::Status& refusal() const { return refusal_; }
  // How many instructions were completed, by mnemonic ("int3").
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

 private:
  absl::Status Complete();
  // The effect on the vCPU; if it is `deferred`, none but that KVM's #UD is taken back.
  absl::Status Apply(const EmulatedCpu& cpu, const EmulationEffect& effect, kvm_vcpu_events events,
                     bool deferred);
  absl::Status SetEvents(kvm_vcpu_events events);
  void PutBack(const EmulatedCpu& cpu, const kvm_vcpu_events& events);
  void Count(const EmulatedCpu& cpu, const EmulationEffect& effect);

  Vcpu& vcpu_;
  const GuestMemory& memory_;
  const Trace trace_;
  absl::Status refusal_;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_EMULATION_INSTRUCTION_COMPLETER_H_
