#include "vmm/doorbell.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "memory/check.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::StatusOr<Doorbell> Doorbell::Create(const Vm& vm, GuestAddress address, const EventFd& event,
                                          std::optional<uint32_t> value) {
  VMWIRE_ASSIGN_OR_RETURN(const int has_ioeventfd, vm.system().CheckExtension(KVM_CAP_IOEVENTFD));
  if (has_ioeventfd == 0) {
    return absl::UnimplementedError("this KVM lacks KVM_CAP_IOEVENTFD; boot Linux 2.6.32 or newer");
  }
  kvm_ioeventfd registration = {};
  registration.addr = address.value();
  registration.len = sizeof(uint32_t);
  registration.fd = event.fd();
  if (value.has_value()) {
    registration.datamatch = *value;
    registration.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  }
  VMWIRE_RETURN_IF_ERROR(vm.kvm().SetIoeventfd(vm.fd(), registration));
  return Doorbell(vm, registration);
}

Doorbell::Doorbell(Doorbell&& other) noexcept
    : vm_(std::exchange(other.vm_, nullptr)), registration_(other.registration_) {}

Doorbell& Doorbell::operator=(Doorbell&& other) noexcept {
  if (this == &other) return *this;
  Remove();
  vm_ = std::exchange(other.vm_, nullptr);
  registration_ = other.registration_;
  return *this;
}

void Doorbell::Remove() {
  if (vm_ == nullptr) return;
  registration_.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  const absl::Status status = vm_->kvm().SetIoeventfd(vm_->fd(), registration_);
  VMWIRE_CHECK(status.ok(), absl::StrFormat("KVM does not let go of the doorbell at 0x%x: %s",
                                            registration_.addr, status.ToString()));
  vm_ = nullptr;
}

}  // namespace vmwire
