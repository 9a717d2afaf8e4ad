#include "vmm/vm.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {

namespace {

absl::Status Require(const System& system, int capability, const char* name, const char* since) {
  VMWIRE_ASSIGN_OR_RETURN(const int value, system.CheckExtension(capability));
  if (value > 0) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrFormat("this KVM lacks %s; boot Linux %s or newer", name, since));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Vm>> Vm::Create(const System& system) {
  VMWIRE_RETURN_IF_ERROR(Require(system, KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "2.6.25"));
  // Without it a stop request could come too early to be seen.
  VMWIRE_RETURN_IF_ERROR(Require(system, KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "4.13"));
  VMWIRE_ASSIGN_OR_RETURN(const int slots, system.CheckExtension(KVM_CAP_NR_MEMSLOTS));
  VMWIRE_ASSIGN_OR_RETURN(const int read_only, system.CheckExtension(KVM_CAP_READONLY_MEM));
  if (slots <= 0) {
    return absl::UnimplementedError(
        "this KVM says that it has no memory slots (KVM_CAP_NR_MEMSLOTS is 0)");
  }
  VMWIRE_ASSIGN_OR_RETURN(const VmFd fd, system.kvm().CreateVm(system.fd()));
  return absl::WrapUnique(new Vm(system, fd, static_cast<uint32_t>(slots), read_only > 0));
}

absl::StatusOr<int> Vm::CreateGuestMemfd(uint64_t size) const {
  // Shared from the start: what is mapped and pinned here is not hidden from the host.
  constexpr uint64_t kFlags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
  VMWIRE_RETURN_IF_ERROR(Require(system_, KVM_CAP_GUEST_MEMFD, "KVM_CAP_GUEST_MEMFD", "6.18"));
  VMWIRE_ASSIGN_OR_RETURN(const int flags, system_.CheckExtension(KVM_CAP_GUEST_MEMFD_FLAGS));
  if ((static_cast<uint64_t>(flags) & kFlags) != kFlags) {
    return absl::UnimplementedError(
        "this KVM has no guest_memfd that can be mapped (KVM_CAP_GUEST_MEMFD_FLAGS); boot Linux "
        "6.18 or newer");
  }
  return kvm().CreateGuestMemfd(fd_, size, kFlags);
}

Vm::~Vm() { kvm().Close(fd_); }

}  // namespace vmwire
