#include "vmm/emulation/instruction_completer.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"
#include "vmm/emulation/complete_instruction.h"
#include "vmm/emulation/guest_linear_memory.h"
#include "vmm/exit_report.h"

namespace vmwire {
namespace {

std::optional<uint64_t> Xcr0Of(const Vcpu& vcpu) {
  const absl::StatusOr<kvm_xcrs> xcrs = vcpu.GetXcrs();
  if (!xcrs.ok()) return std::nullopt;
  const size_t count = std::min<size_t>(xcrs->nr_xcrs, std::size(xcrs->xcrs));
  for (const kvm_xcr& xcr : std::span(xcrs->xcrs).first(count)) {
    if (xcr.xcr == 0) return xcr.value;
  }
  return std::nullopt;
}

bool HasEvent(const EmulationEffect& effect) {
  return effect.exception.has_value() || effect.interrupt.has_value();
}

// True of what KVM has yet to deliver, but for exceptions: they may be of the instruction itself.
bool HasEvent(const kvm_vcpu_events& events) {
  return events.interrupt.injected != 0 || events.nmi.injected != 0;
}

// What KVM is to deliver when the vCPU runs on. REQUIRES: `events` has no exception.
void PutEvents(const EmulationEffect& effect, kvm_vcpu_events& events) {
  if (effect.exception.has_value()) {
    events.exception.injected = 1;
    events.exception.nr = effect.exception->vector;
    events.exception.has_error_code = effect.exception->error_code.has_value() ? 1 : 0;
    events.exception.error_code = effect.exception->error_code.value_or(0);
    return;
  }
  events.interrupt.shadow = 0;  // It lasts for one instruction, and that is done.
  if (!effect.interrupt.has_value()) return;
  events.interrupt.injected = 1;
  events.interrupt.nr = *effect.interrupt;
  // RIP is behind the instruction already; of a soft one KVM may skip it, or not, by what CPU it
  // runs on.
  events.interrupt.soft = 0;
}

}  // namespace

bool InstructionCompleter::TryComplete() {
  refusal_ = Complete();
  return refusal_.ok();
}

absl::Status InstructionCompleter::Complete() {
  const kvm_run& run = vcpu_.run();
  if (run.exit_reason != KVM_EXIT_INTERNAL_ERROR ||
      run.internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
    return absl::FailedPreconditionError("the last exit was no failed emulation");
  }
  EmulatedCpu cpu = {};
  VMWIRE_ASSIGN_OR_RETURN(cpu.regs, vcpu_.GetRegs());
  VMWIRE_ASSIGN_OR_RETURN(cpu.sregs, vcpu_.GetSregs());
  cpu.xcr0 = Xcr0Of(vcpu_);
  // All is read before the instruction may write to memory.
  VMWIRE_ASSIGN_OR_RETURN(const kvm_vcpu_events events, vcpu_.GetVcpuEvents());
  const std::vector<std::byte> code = ReadCodeAtRip(vcpu_, memory_, cpu.regs, cpu.sregs);
  GuestLinearMemory memory(memory_, cpu);
  VMWIRE_ASSIGN_OR_RETURN(const EmulationEffect effect, CompleteInstruction(cpu, code, memory));
  const bool deferred = HasEvent(effect) && HasEvent(events);
  const absl::Status applied = Apply(cpu, effect, events, deferred);
  if (!applied.ok()) {
    PutBack(cpu, events);
    return applied;
  }
  if (!deferred) Count(cpu, effect);
  return absl::OkStatus();
}

absl::Status InstructionCompleter::Apply(const EmulatedCpu& cpu, const EmulationEffect& effect,
                                         kvm_vcpu_events events, bool deferred) {
  if (!deferred && effect.exception.has_value() &&
      effect.exception->vector == exception_vector::kPageFault) {
    kvm_sregs sregs = cpu.sregs;
    sregs.cr2 = effect.exception->address;
    VMWIRE_RETURN_IF_ERROR(vcpu_.SetSregs(sregs));
  }
  // In this order: KVM_SET_REGS drops exceptions that are pending.
  VMWIRE_RETURN_IF_ERROR(vcpu_.SetRegs(deferred ? cpu.regs : effect.regs));
  events.exception = {};  // The #UD that KVM may have queued beside the exit.
  if (!deferred) PutEvents(effect, events);
  return SetEvents(events);
}

absl::Status InstructionCompleter::SetEvents(kvm_vcpu_events events) {
  // The rest may have changed since: it is not this thread's to set.
  events.flags &= KVM_VCPUEVENT_VALID_SHADOW;
  return vcpu_.SetVcpuEvents(events);
}

void InstructionCompleter::PutBack(const EmulatedCpu& cpu, const kvm_vcpu_events& events) {
  // What fails here fails as what failed before, which is the refusal that is told.
  vcpu_.SetSregs(cpu.sregs).IgnoreError();
  vcpu_.SetRegs(cpu.regs).IgnoreError();
  SetEvents(events).IgnoreError();
}

void InstructionCompleter::Count(const EmulatedCpu& cpu, const EmulationEffect& effect) {
  ++counts_[effect.mnemonic];
  if (!trace_) return;
  std::string line = absl::StrFormat("rip 0x%x: %s", cpu.regs.rip, effect.mnemonic);
  if (effect.exception.has_value()) {
    absl::StrAppendFormat(&line, " (exception %d)", effect.exception->vector);
  }
  trace_(line);
}

}  // namespace vmwire
