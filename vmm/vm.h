// A KVM virtual machine: the descriptor, and what its KVM can do for slots. Memory comes to it
// through SlotTable only.
//
// Invariants: the descriptor lives exactly as long as this object.
// Thread safety: immutable; may be used from any thread.
#ifndef VMWIRE_VMM_VM_H_
#define VMWIRE_VMM_VM_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "vmm/system.h"

namespace vmwire {

class Vm {
 public:
  // ResourceExhausted: no memory or descriptor for it. Unimplemented: KVM lacks memory slots or
  // immediate exits. REQUIRES: `system` outlives the object.
  static absl::StatusOr<std::unique_ptr<Vm>> Create(const System& system);

  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;
  ~Vm();

  // KVM_CAP_NR_MEMSLOTS: slot ids are below it.
  uint32_t slot_limit() const { return slot_limit_; }
  // KVM_CAP_READONLY_MEM.
  bool has_read_only_slots() const { return has_read_only_slots_; }

  // A file of `size` bytes of memory that KVM made for this VM and that can be mapped here: the
  // backing of an object. It is the caller's to close. Unimplemented, naming the kernel that has
  // it: this KVM has no guest_memfd that can be mapped. ResourceExhausted: no memory, or too many
  // files. REQUIRES: `size` is whole pages, and not 0.
  absl::StatusOr<int> CreateGuestMemfd(uint64_t size) const;

  // As KvmApi's function of that name.
  absl::StatusOr<kvm_ioapic_state> GetIoapic() const { return kvm().GetIoapic(fd_); }

  const System& system() const { return system_; }
  KvmApi& kvm() const { return system_.kvm(); }
  VmFd fd() const { return fd_; }

 private:
  Vm(const System& system, VmFd fd, uint32_t slot_limit, bool has_read_only_slots)
      : system_(system),
        fd_(fd),
        slot_limit_(slot_limit),
        has_read_only_slots_(has_read_only_slots) {}

  const System& system_;
  const VmFd fd_;
  const uint32_t slot_limit_;
  const bool has_read_only_slots_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_VM_H_
