// The line by which a device reaches the guest's interrupt controller, where the machine has one.
//
// Invariants: there is always a line; one that leads nowhere has the number 0.
// Thread safety: no state; a line as InterruptLine.
#ifndef VMWIRE_VMM_GUEST_LINE_H_
#define VMWIRE_VMM_GUEST_LINE_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "devices/interrupt_line.h"
#include "vmm/interrupt_controller.h"
#include "vmm/vm.h"

namespace vmwire {

struct GuestLine {
  std::unique_ptr<InterruptLine> line;
  uint32_t irq = 0;  // 0: nobody hears it, and the guest polls.
};

// A line that raises the interrupt `irq`; 0 asks for one that leads nowhere, and so it is on a
// machine without interrupt controller or a KVM without irqfd. ResourceExhausted: no descriptors.
// REQUIRES: `vm` outlives the line.
absl::StatusOr<GuestLine> ConnectLine(const Vm& vm, const InterruptController& interrupts,
                                      uint32_t irq);

}  // namespace vmwire

#endif  // VMWIRE_VMM_GUEST_LINE_H_
