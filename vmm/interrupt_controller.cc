#include "vmm/interrupt_controller.h"

#include "memory/status_macros.h"

namespace vmwire {

absl::StatusOr<InterruptController> CreateInterruptController(const Vm& vm) {
  InterruptController controller;
  VMWIRE_ASSIGN_OR_RETURN(const int irqchip, vm.system().CheckExtension(KVM_CAP_IRQCHIP));
  if (irqchip == 0) return controller;
  VMWIRE_RETURN_IF_ERROR(vm.kvm().CreateIrqchip(vm.fd()));
  controller.has_irqchip = true;
  VMWIRE_ASSIGN_OR_RETURN(const int pit, vm.system().CheckExtension(KVM_CAP_PIT2));
  if (pit == 0) return controller;
  kvm_pit_config config = {};
  // Port 0x61, through which a guest gates and reads counter 2, stays in the kernel too.
  config.flags = KVM_PIT_SPEAKER_DUMMY;
  VMWIRE_RETURN_IF_ERROR(vm.kvm().CreatePit2(vm.fd(), config));
  controller.has_timer = true;
  return controller;
}

}  // namespace vmwire
