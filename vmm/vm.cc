#include "vmm/vm.h"

#include "absl/memory/memory.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::StatusOr<std::unique_ptr<Vm>> Vm::Create(const System& system) {
  VMWIRE_ASSIGN_OR_RETURN(const int slots, system.CheckExtension(KVM_CAP_NR_MEMSLOTS));
  VMWIRE_ASSIGN_OR_RETURN(const int read_only, system.CheckExtension(KVM_CAP_READONLY_MEM));
  if (slots <= 0) {
    return absl::UnimplementedError(
        "this KVM says that it has no memory slots (KVM_CAP_NR_MEMSLOTS is 0)");
  }
  VMWIRE_ASSIGN_OR_RETURN(const VmFd fd, system.kvm().CreateVm(system.fd()));
  return absl::WrapUnique(new Vm(system, fd, static_cast<uint32_t>(slots), read_only > 0));
}

Vm::~Vm() { kvm().Close(fd_); }

}  // namespace vmwire
