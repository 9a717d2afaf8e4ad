// A virtual CPU: its descriptor and its kvm_run, the page in which KVM says why it stopped.
//
// Invariants: the descriptor and the mapping live exactly as long as this object.
// Thread safety: used by one thread, the one that runs it. Another thread stops it through
// StopRequest (stop_request.h).
#ifndef VMWIRE_VMM_VCPU_H_
#define VMWIRE_VMM_VCPU_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/vm.h"

namespace vmwire {

class Vcpu {
 public:
  // AlreadyExists: `vm` has a vCPU `id`. InvalidArgument: the id is too large. ResourceExhausted:
  // no memory or descriptor for it. On failure nothing is left open. REQUIRES: `vm` outlives the
  // object.
  static absl::StatusOr<std::unique_ptr<Vcpu>> Create(const Vm& vm, uint32_t id);

  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;
  ~Vcpu();

  // As the functions of the same names in KvmApi.
  absl::StatusOr<kvm_regs> GetRegs() const { return vm_.kvm().GetRegs(fd_); }
  absl::Status SetRegs(const kvm_regs& regs) { return vm_.kvm().SetRegs(fd_, regs); }
  absl::StatusOr<kvm_sregs> GetSregs() const { return vm_.kvm().GetSregs(fd_); }
  absl::Status SetSregs(const kvm_sregs& sregs) { return vm_.kvm().SetSregs(fd_, sregs); }
  absl::Status SetCpuid(std::span<const kvm_cpuid_entry2> entries) {
    return vm_.kvm().SetCpuid(fd_, entries);
  }
  absl::Status SetMsrs(std::span<const kvm_msr_entry> msrs) { return vm_.kvm().SetMsrs(fd_, msrs); }
  absl::StatusOr<kvm_xcrs> GetXcrs() const { return vm_.kvm().GetXcrs(fd_); }
  absl::StatusOr<kvm_vcpu_events> GetVcpuEvents() const { return vm_.kvm().GetVcpuEvents(fd_); }
  absl::Status SetVcpuEvents(const kvm_vcpu_events& events) {
    return vm_.kvm().SetVcpuEvents(fd_, events);
  }
  absl::StatusOr<uint32_t> GetMpState() const { return vm_.kvm().GetMpState(fd_); }
  absl::StatusOr<kvm_lapic_state> GetLapic() const { return vm_.kvm().GetLapic(fd_); }
  absl::Status SetLapic(const kvm_lapic_state& state) { return vm_.kvm().SetLapic(fd_, state); }
  absl::StatusOr<uint64_t> GetTscKhz() const { return vm_.kvm().GetTscKhz(fd_); }
  absl::StatusOr<kvm_translation> Translate(uint64_t linear) const {
    return vm_.kvm().Translate(fd_, linear);
  }
  absl::StatusOr<RunResult> Run() { return vm_.kvm().Run(fd_); }

  uint32_t id() const { return id_; }
  const Vm& vm() const { return vm_; }

  // Why KVM stopped, after Run returned kExit, and where the data of a port access go. The guest
  // cannot write here.
  kvm_run& run() { return *run_; }
  const kvm_run& run() const { return *run_; }
  // All of the mapping; what follows kvm_run in it holds the data of port accesses.
  std::span<std::byte> run_bytes() { return {reinterpret_cast<std::byte*>(run_), run_size_}; }

 private:
  Vcpu(const Vm& vm, uint32_t id, VcpuFd fd, kvm_run* run, size_t run_size)
      : vm_(vm), id_(id), fd_(fd), run_(run), run_size_(run_size) {}

  const Vm& vm_;
  const uint32_t id_;
  const VcpuFd fd_;
  kvm_run* const run_;
  const size_t run_size_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_VCPU_H_
