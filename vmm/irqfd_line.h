// An interrupt line that costs no exit: an eventfd that KVM turns into an interrupt of the guest
// (KVM_IRQFD).
//
// Invariants: KVM knows the eventfd exactly as long as the object lives; after its destructor no
// edge of it is under way.
// Thread safety: Raise may be called from any thread as long as the object lives.
#ifndef VMWIRE_VMM_IRQFD_LINE_H_
#define VMWIRE_VMM_IRQFD_LINE_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "devices/event_fd.h"
#include "devices/interrupt_line.h"
#include "vmm/vm.h"

namespace vmwire {

class IrqfdLine final : public InterruptLine {
 public:
  // A line to the interrupt `gsi` of `vm`: 0 to 15 are pins of the PICs and of the I/O APIC, 16 to
  // 23 of the I/O APIC only. Unimplemented: this KVM has no KVM_CAP_IRQFD. Unavailable: the VM has
  // no irqchip (interrupt_controller.h). ResourceExhausted: too many files, or no memory.
  // REQUIRES: gsi < 24; `vm` outlives the object.
  static absl::StatusOr<std::unique_ptr<IrqfdLine>> Create(const Vm& vm, uint32_t gsi);

  IrqfdLine(const IrqfdLine&) = delete;
  IrqfdLine& operator=(const IrqfdLine&) = delete;
  ~IrqfdLine() override;

  void Raise() override { event_.Signal(); }

  // For who raises it without this class, such as an io_uring.
  const EventFd& event() const { return event_; }
  uint32_t gsi() const { return gsi_; }

 private:
  IrqfdLine(const Vm& vm, uint32_t gsi, EventFd event)
      : vm_(vm), gsi_(gsi), event_(std::move(event)) {}

  kvm_irqfd Registration() const;

  const Vm& vm_;
  const uint32_t gsi_;
  const EventFd event_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_IRQFD_LINE_H_
