// The pins of the guest's interrupt controller, for a device that holds a level instead of giving
// edges (interrupt_line.h).
//
// Invariants: setting a pin never blocks, and cannot fail as far as the device is concerned.
// Thread safety: SetLevel may be called from any thread.
#ifndef VMWIRE_DEVICES_INTERRUPT_PINS_H_
#define VMWIRE_DEVICES_INTERRUPT_PINS_H_

#include <cstdint>

namespace vmwire {

class InterruptPins {
 public:
  // Those of one I/O APIC.
  static constexpr uint32_t kCount = 24;

  virtual ~InterruptPins() = default;

  // The pin is high until it is set low. REQUIRES: pin < kCount.
  virtual void SetLevel(uint32_t pin, bool high) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_INTERRUPT_PINS_H_
