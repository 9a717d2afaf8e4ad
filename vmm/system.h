// The opened /dev/kvm.
//
// Invariants: its API version is kKvmApiVersion; the descriptor lives exactly as long as this
// object.
//
// Thread safety: immutable; may be used from any thread.
#ifndef VMWIRE_VMM_SYSTEM_H_
#define VMWIRE_VMM_SYSTEM_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/kvm_api.h"

namespace vmwire {

// The only version there has been since Linux 2.6.22 (api.rst, 4.1).
inline constexpr int kKvmApiVersion = 12;

class System {
 public:
  // Unimplemented: there is no /dev/kvm, or its API version is another. PermissionDenied: no right
  // to open it. Each message says what to do. REQUIRES: `kvm` outlives the object.
  static absl::StatusOr<std::unique_ptr<System>> Open(KvmApi& kvm);

  System(const System&) = delete;
  System& operator=(const System&) = delete;
  ~System();

  // 0 if KVM lacks `capability` (KVM_CAP_*), else a number whose meaning is the capability's.
  absl::StatusOr<int> CheckExtension(int capability) const;
  // What the host's CPU and KVM can give a guest.
  absl::StatusOr<std::vector<kvm_cpuid_entry2>> SupportedCpuid() const;

  KvmApi& kvm() const { return kvm_; }
  SystemFd fd() const { return fd_; }

 private:
  System(KvmApi& kvm, SystemFd fd) : kvm_(kvm), fd_(fd) {}

  KvmApi& kvm_;
  const SystemFd fd_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_SYSTEM_H_
