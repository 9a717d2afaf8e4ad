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

// Whose descriptors the segment registers name.
enum class StartSegments {
  kOwn,   // Those of descriptor_tables.h's WriteGdt.
  kFlat,  // Code at 0x10, data at 0x18 (FlatGdt), as Linux' boot protocol asks for.
};

struct StartState {
  StartMode mode = StartMode::kReal16;
  GuestAddress entry;
  StartSegments segments = StartSegments::kOwn;
  // What the protocol passes; all other general registers but RSP are 0.
  uint64_t rax = 0;
  uint64_t rbx = 0;
  uint64_t rsi = 0;
  uint64_t rdi = 0;

  // All general registers, for KVM_SET_REGS: RIP at the entry, interrupts off, a stack below
  // kRing0StackTop.
  kvm_regs Registers() const;

  // `reset` as KVM_GET_SREGS gives it for a new vCPU, with segments, control registers, descriptor
  // tables and EFER as the mode needs them; for KVM_SET_SREGS. What is not said by the mode (APIC
  // base, CR8) stays. REQUIRES: with kFlat the mode is kProtected32 or kLong64Ring0.
  kvm_sregs SpecialRegisters(const kvm_sregs& reset) const;
};

// The start of an image of our own, with its boot info in RDI (long modes) or EBX (protected32).
// REQUIRES: the image is what LoadGuestImage or ParseGuestImage gave.
StartState OwnStartState(const GuestImage& image);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_START_STATE_H_
