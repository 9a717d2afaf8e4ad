// The registers with which a vCPU enters a guest image.
//
// Code at CPL 3 is entered directly: KVM_SET_SREGS takes any privilege level, with VMX, SVM and
// without either.
//
// Invariants: the same mode and entry give the same registers.
// Thread safety: values.
#ifndef VMWIRE_VMM_BOOT_START_STATE_H_
#define VMWIRE_VMM_BOOT_START_STATE_H_

#include "memory/address.h"
#include "vmm/boot/guest_image.h"
#include "vmm/boot/start_mode.h"
#include "vmm/kvm_abi.h"

namespace vmwire {

class StartState {
 public:
  StartState(StartMode mode, GuestAddress entry) : mode_(mode), entry_(entry) {}

  // All general registers, for KVM_SET_REGS: RIP at the entry, interrupts off, the stack where the
  // contract says, boot info in RDI (long modes) or EBX (protected32), the rest 0.
  kvm_regs Registers() const;

  // `reset` as KVM_GET_SREGS gives it for a new vCPU, with segments, control registers, descriptor
  // tables and EFER as the mode needs them; for KVM_SET_SREGS. What is not said by the mode (APIC
  // base, CR8) stays.
  kvm_sregs SpecialRegisters(const kvm_sregs& reset) const;

 private:
  StartMode mode_;
  GuestAddress entry_;
};

// REQUIRES: the image is what LoadGuestImage or ParseGuestImage gave.
StartState MakeStartState(const GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_START_STATE_H_
