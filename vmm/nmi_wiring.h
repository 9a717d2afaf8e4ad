// Whether a guest has wired its interrupts so that one may come to a CPU whose interrupts are off:
// as an NMI, or as an SMI or INIT, which wait for RFLAGS.IF as little.
//
// What can raise one while no CPU runs: the PIT, at LINT0 of the local APIC (the old NMI watchdog),
// and each pin of the I/O APIC. Nothing drives LINT1, where firmware and kernels expect NMIs, nor
// do performance counters count in a halt; so these do not matter here.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_NMI_WIRING_H_
#define VMWIRE_VMM_NMI_WIRING_H_

#include "vmm/vcpu.h"

namespace vmwire {

// True if one may come to this vCPU, or nothing is known. REQUIRES: called on the thread that runs
// the vCPU, while it does not run.
bool MayGetNmi(const Vcpu& vcpu);

}  // namespace vmwire

#endif  // VMWIRE_VMM_NMI_WIRING_H_
