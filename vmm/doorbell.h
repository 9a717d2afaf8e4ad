// A doorbell: an MMIO register whose write signals an eventfd in the kernel instead of coming back
// from KVM_RUN (KVM_IOEVENTFD).
//
// Only a write of 4 bytes, of the given value where there is one, is taken; any other access of the
// register, and any read, comes to the device as before.
//
// Invariants: KVM knows the register exactly as long as the token lives.
// Thread safety: thread-compatible.
#ifndef VMWIRE_VMM_DOORBELL_H_
#define VMWIRE_VMM_DOORBELL_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "devices/event_fd.h"
#include "memory/address.h"
#include "vmm/vm.h"

namespace vmwire {

class [[nodiscard]] Doorbell {
 public:
  // Lets writes of 4 bytes to `address`, or those of `value` only, signal `event`. Unimplemented:
  // this KVM has no KVM_CAP_IOEVENTFD; the device takes the writes itself then. AlreadyExists: the
  // address has a doorbell (for that value). ResourceExhausted: no memory for it. REQUIRES: `vm`
  // and `event` outlive the token; `address` is no memory.
  static absl::StatusOr<Doorbell> Create(const Vm& vm, GuestAddress address, const EventFd& event,
                                         std::optional<uint32_t> value = std::nullopt);

  Doorbell(Doorbell&& other) noexcept;
  Doorbell& operator=(Doorbell&& other) noexcept;
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  ~Doorbell() { Remove(); }

  GuestAddress address() const { return GuestAddress(registration_.addr); }

 private:
  Doorbell(const Vm& vm, const kvm_ioeventfd& registration)
      : vm_(&vm), registration_(registration) {}

  void Remove();

  const Vm* vm_;  // Null once moved from.
  kvm_ioeventfd registration_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_DOORBELL_H_
