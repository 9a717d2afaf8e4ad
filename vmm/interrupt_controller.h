// The interrupt controller of a machine: KVM's own, in the kernel, where it has one.
//
// With it an interrupt costs no exit to this process: a device's eventfd raises it (irqfd_line.h),
// and PIC, I/O APIC, local APIC and timer answer the guest in the kernel. Without it a guest can
// only poll its devices.
//
// Invariants: there is a timer only where there is an irqchip.
// Thread safety: no state.
#ifndef VMWIRE_VMM_INTERRUPT_CONTROLLER_H_
#define VMWIRE_VMM_INTERRUPT_CONTROLLER_H_

#include "absl/status/statusor.h"
#include "vmm/vm.h"

namespace vmwire {

// What a VM has of it.
struct InterruptController {
  bool has_irqchip = false;  // Two 8259 PICs, an I/O APIC, local APICs.
  bool has_timer = false;    // An 8254 PIT, and port 0x61 beside it.
};

// Gives `vm` what its KVM has of KVM_CAP_IRQCHIP and KVM_CAP_PIT2; that it has none is no error.
// From then on HLT sleeps in KVM_RUN until an interrupt or a signal comes, as on a PC, even with
// interrupts off.
// AlreadyExists: the VM has an irqchip. InvalidArgument: it has a vCPU. ResourceExhausted: no
// memory for it; the VM may have the irqchip then, and is of no more use.
absl::StatusOr<InterruptController> CreateInterruptController(const Vm& vm);

}  // namespace vmwire

#endif  // VMWIRE_VMM_INTERRUPT_CONTROLLER_H_
