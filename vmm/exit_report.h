// What is said of a vCPU that stopped: why, the likely cause, its registers, the bytes at RIP and
// the instruction that they are, where the guest's page tables put RIP and RSP, its last exits.
//
// Invariants: to make a report changes nothing, and cannot fail: what cannot be read is said to be
// so.
//
// Thread safety: on the thread that runs the vCPU, between runs.
#ifndef VMWIRE_VMM_EXIT_REPORT_H_
#define VMWIRE_VMM_EXIT_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memory/guest_memory.h"
#include "vmm/cpu_mode.h"
#include "vmm/exit_history.h"
#include "vmm/vcpu.h"

namespace vmwire {

// One line without its end: the reason by name and what kvm_run says of it.
std::string DescribeReason(const kvm_run& run);

// The general, control and segment registers, a few to a line, each line ended.
std::string RegisterTable(const kvm_regs& regs, const kvm_sregs& sregs);

// Up to kMaxInstructionSize bytes at RIP, read through the guest's own page tables; fewer, or none,
// where those or the memory end.
std::vector<std::byte> ReadCodeAtRip(const Vcpu& vcpu, const GuestMemory& memory,
                                     const kvm_regs& regs, const kvm_sregs& sregs);

// "  code at 0x10 (64-bit): 0f 01 c1 ...\n  vmcall\n", of `code`, the bytes at RIP.
std::string DescribeCode(std::span<const std::byte> code, const kvm_regs& regs,
                         const kvm_sregs& sregs);

// The registers and the code in memory; what the caller knows of the reason goes before it.
// REQUIRES: the last exit was no port access: there RIP is before the instruction on one KVM and
// after it on another.
std::string DescribeState(const Vcpu& vcpu, const GuestMemory& memory);

// "CPU 1: ", for the start of a report; nothing in a machine that has one CPU only.
std::string CpuPrefix(std::optional<uint32_t> cpu);

// All that is known of a vCPU whose last exit ended the guest: a line as of DescribeReason, one
// with the likely cause if there is a guess, registers and code, the walks of RIP and RSP, the last
// exits. The code is what KVM itself failed to emulate, if the last exit was that and KVM gives the
// bytes. `cpu`: its number, named in a machine that has several. `refusal`: why the instruction was
// not completed in KVM's stead, where that was tried.
std::string DescribeDeath(const Vcpu& vcpu, const GuestMemory& memory, const ExitHistory& history,
                          std::optional<uint32_t> cpu = std::nullopt,
                          const std::optional<std::string>& refusal = std::nullopt);

// The same of a vCPU that was stopped from outside, be it that it did nothing: without a reason,
// since its last exit is none, and with the code that is in memory.
std::string DescribeStopped(const Vcpu& vcpu, const GuestMemory& memory, const ExitHistory& history,
                            std::optional<uint32_t> cpu = std::nullopt);

}  // namespace vmwire

#endif  // VMWIRE_VMM_EXIT_REPORT_H_
