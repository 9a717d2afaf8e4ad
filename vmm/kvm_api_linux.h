// KvmApi on the running Linux.
//
// Invariants: no state.
// Thread safety: as KvmApi.
#ifndef VMWIRE_VMM_KVM_API_LINUX_H_
#define VMWIRE_VMM_KVM_API_LINUX_H_

#include <string>
#include <utility>
#include <vector>

#include "vmm/kvm_api.h"

namespace vmwire {

class KvmApiLinux final : public KvmApi {
 public:
  // `device` is another path for tests of what is said where there is no KVM.
  explicit KvmApiLinux(std::string device = "/dev/kvm") : device_(std::move(device)) {}

  absl::StatusOr<SystemFd> OpenSystem() override;
  absl::StatusOr<int> GetApiVersion(SystemFd system) override;
  absl::StatusOr<int> CheckExtension(SystemFd system, int capability) override;
  absl::StatusOr<size_t> GetVcpuMapSize(SystemFd system) override;
  absl::StatusOr<std::vector<kvm_cpuid_entry2>> GetSupportedCpuid(SystemFd system) override;
  absl::StatusOr<VmFd> CreateVm(SystemFd system) override;
  absl::Status SetUserMemoryRegion(VmFd vm, const kvm_userspace_memory_region& region) override;
  absl::StatusOr<int> CreateGuestMemfd(VmFd vm, uint64_t size, uint64_t flags) override;
  absl::Status CreateIrqchip(VmFd vm) override;
  absl::Status CreatePit2(VmFd vm, const kvm_pit_config& config) override;
  absl::Status SetIrqfd(VmFd vm, const kvm_irqfd& irqfd) override;
  absl::Status SetIrqLine(VmFd vm, uint32_t gsi, bool high) override;
  absl::StatusOr<kvm_ioapic_state> GetIoapic(VmFd vm) override;
  absl::Status SetIoeventfd(VmFd vm, const kvm_ioeventfd& ioeventfd) override;
  absl::Status SetTssAddress(VmFd vm, uint64_t address) override;
  absl::StatusOr<VcpuFd> CreateVcpu(VmFd vm, uint32_t id) override;
  absl::StatusOr<kvm_run*> MapRun(VcpuFd vcpu, size_t size) override;
  void UnmapRun(kvm_run* run, size_t size) override;
  absl::StatusOr<kvm_regs> GetRegs(VcpuFd vcpu) override;
  absl::Status SetRegs(VcpuFd vcpu, const kvm_regs& regs) override;
  absl::StatusOr<kvm_sregs> GetSregs(VcpuFd vcpu) override;
  absl::Status SetSregs(VcpuFd vcpu, const kvm_sregs& sregs) override;
  absl::Status SetCpuid(VcpuFd vcpu, std::span<const kvm_cpuid_entry2> entries) override;
  absl::Status SetMsrs(VcpuFd vcpu, std::span<const kvm_msr_entry> msrs) override;
  absl::StatusOr<kvm_xcrs> GetXcrs(VcpuFd vcpu) override;
  absl::StatusOr<kvm_vcpu_events> GetVcpuEvents(VcpuFd vcpu) override;
  absl::Status SetVcpuEvents(VcpuFd vcpu, const kvm_vcpu_events& events) override;
  absl::StatusOr<uint32_t> GetMpState(VcpuFd vcpu) override;
  absl::StatusOr<kvm_lapic_state> GetLapic(VcpuFd vcpu) override;
  absl::Status SetLapic(VcpuFd vcpu, const kvm_lapic_state& state) override;
  absl::StatusOr<uint64_t> GetTscKhz(VcpuFd vcpu) override;
  absl::StatusOr<kvm_translation> Translate(VcpuFd vcpu, uint64_t linear) override;
  absl::StatusOr<RunResult> Run(VcpuFd vcpu) override;
  void Close(SystemFd system) override;
  void Close(VmFd vm) override;
  void Close(VcpuFd vcpu) override;

 private:
  const std::string device_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_KVM_API_LINUX_H_
