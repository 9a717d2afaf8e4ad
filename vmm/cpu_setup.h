// What a machine's CPUs need before the first of them runs, beside their registers.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_CPU_SETUP_H_
#define VMWIRE_VMM_CPU_SETUP_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/cpuid_policy.h"
#include "vmm/interrupt_controller.h"
#include "vmm/machine_config.h"
#include "vmm/system.h"
#include "vmm/vcpu.h"

namespace vmwire {

// Three pages in the MMIO hole, between the local APICs and the end of 4 GiB, for KvmApi's
// SetTssAddress.
inline constexpr uint64_t kKvmTssAddress = 0xfffbd000;

// What of `config` says how its CPUs are, without KVM. InvalidArgument: no CPU, or more than
// kMaxCpus; a feature to hide that does not exist.
absl::Status CheckCpuConfig(const MachineConfig& config);

// ResourceExhausted, with the limit: this KVM has fewer CPUs for a machine.
absl::Status CheckCpuCount(const System& system, uint32_t cpus);

// The bits of a guest physical address, as KVM_GET_SUPPORTED_CPUID has them.
uint32_t GuestAddressBits(const std::vector<kvm_cpuid_entry2>& supported);

// The policy for `config`. Errors of CheckCpuConfig.
absl::StatusOr<CpuidPolicy> MakeCpuidPolicy(const System& system,
                                            const InterruptController& interrupts,
                                            const MachineConfig& config);

// Sets what a PC's firmware leaves in model-specific registers: fast strings, and write-back as the
// default memory type. What this KVM does not take stays as it is.
void SetFirmwareMsrs(std::span<const std::unique_ptr<Vcpu>> vcpus);

// Sets the local APICs as a PC's firmware leaves them: that of the first CPU is on, with the PICs
// at LINT0 and NMIs at LINT1 (MP 1.4, 3.6.2.2, "virtual wire mode"). It is done for every CPU, once
// all are there: some kernels only then know the last of them by its APIC id, and lose the INIT
// that another sends it. Errors as Vcpu::SetLapic. REQUIRES: the machine has an irqchip.
absl::Status SetFirmwareApics(std::span<const std::unique_ptr<Vcpu>> vcpus);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CPU_SETUP_H_
