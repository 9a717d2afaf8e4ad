#include "vmm/kvm_interrupt_pins.h"

namespace vmwire {

void KvmInterruptPins::SetLevel(uint32_t pin, bool high) {
  if (!is_connected_) return;
  // It fails only without an irqchip, and hardware has nobody to tell.
  vm_.kvm().SetIrqLine(vm_.fd(), pin, high).IgnoreError();
}

}  // namespace vmwire
