// What a guest's CPUs say of themselves: what KVM can give, and the machine's own shape.
//
// The policy. Kept: every feature that KVM says it can give, KVM's own leaves (0x40000000: clock,
// paravirtual help) among them. Changed: the topology, which is one package of so many cores of one
// thread each (leaves 1, 4, 0xb, 0x1f, 0x80000008, 0x8000001d, 0x8000001e), and the APIC ids; the
// hypervisor bit is set; the TSC deadline timer is there where KVM's local APIC has it (KVM leaves
// that bit to its user). Left out: nested virtualization (VMX, SVM), performance counters (leaves
// 0xa and 0x80000022, and their bits in 1 and 0x80000001; the four that every CPU of AMD's has are
// named by no bit) and MONITOR/MWAIT, which no guest of ours needs and which leave a guest less
// portable. Then what the user hides. A KVM without VMX and SVM may show the host's bits of leaves
// 1, 7 and 0xd to the guest all the same, since CPUID does not trap there.
//
// Invariants: pure; the same arguments give the same leaves.
// Thread safety: no state.
#ifndef VMWIRE_VMM_CPUID_POLICY_H_
#define VMWIRE_VMM_CPUID_POLICY_H_

#include <cstdint>
#include <vector>

#include "vmm/cpu_features.h"
#include "vmm/kvm_abi.h"

namespace vmwire {

struct CpuidPolicy {
  uint32_t cpus = 1;
  bool tsc_deadline_timer = false;
  std::vector<CpuFeature> hidden = {};
};

// The leaves of the CPU whose local APIC has the id `apic_id`. `supported` is what
// KVM_GET_SUPPORTED_CPUID gave. REQUIRES: apic_id < policy.cpus.
std::vector<kvm_cpuid_entry2> CpuidOf(const std::vector<kvm_cpuid_entry2>& supported,
                                      const CpuidPolicy& policy, uint32_t apic_id);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CPUID_POLICY_H_
