#include "vmm/vcpu.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::StatusOr<std::unique_ptr<Vcpu>> Vcpu::Create(const Vm& vm, uint32_t id) {
  KvmApi& kvm = vm.kvm();
  VMWIRE_ASSIGN_OR_RETURN(const size_t size, kvm.GetVcpuMapSize(vm.system().fd()));
  if (size < sizeof(kvm_run)) {
    return absl::InternalError(absl::StrFormat(
        "KVM maps %d bytes for a vCPU, less than a kvm_run of %d", size, sizeof(kvm_run)));
  }
  VMWIRE_ASSIGN_OR_RETURN(const VcpuFd fd, kvm.CreateVcpu(vm.fd(), id));
  const absl::StatusOr<kvm_run*> run = kvm.MapRun(fd, size);
  if (!run.ok()) {
    kvm.Close(fd);
    return run.status();
  }
  return absl::WrapUnique(new Vcpu(vm, id, fd, *run, size));
}

Vcpu::~Vcpu() {
  vm_.kvm().UnmapRun(run_, run_size_);
  vm_.kvm().Close(fd_);
}

}  // namespace vmwire
