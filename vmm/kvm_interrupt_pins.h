// The pins of KVM's own interrupt controllers, driven by level (KVM_IRQ_LINE); each change is a
// system call. A device that gives edges has a line of its own that costs none (irqfd_line.h).
//
// Invariants: none.
// Thread safety: SetLevel may be called from any thread.
#ifndef VMWIRE_VMM_KVM_INTERRUPT_PINS_H_
#define VMWIRE_VMM_KVM_INTERRUPT_PINS_H_

#include <cstdint>

#include "devices/interrupt_pins.h"
#include "vmm/interrupt_controller.h"
#include "vmm/vm.h"

namespace vmwire {

class KvmInterruptPins final : public InterruptPins {
 public:
  // Pins 0 to 15 are those of the PICs too. Without an irqchip they lead nowhere.
  // REQUIRES: `vm` outlives the object.
  KvmInterruptPins(const Vm& vm, const InterruptController& controller)
      : vm_(vm), is_connected_(controller.has_irqchip) {}

  void SetLevel(uint32_t pin, bool high) override;

 private:
  const Vm& vm_;
  const bool is_connected_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_KVM_INTERRUPT_PINS_H_
