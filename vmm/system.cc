#include "vmm/system.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::StatusOr<std::unique_ptr<System>> System::Open(KvmApi& kvm) {
  VMWIRE_ASSIGN_OR_RETURN(const SystemFd fd, kvm.OpenSystem());
  auto system = absl::WrapUnique(new System(kvm, fd));
  VMWIRE_ASSIGN_OR_RETURN(const int version, kvm.GetApiVersion(fd));
  if (version != kKvmApiVersion) {
    return absl::UnimplementedError(
        absl::StrFormat("/dev/kvm has API version %d; vmwire needs %d", version, kKvmApiVersion));
  }
  return system;
}

System::~System() { kvm_.Close(fd_); }

absl::StatusOr<int> System::CheckExtension(int capability) const {
  return kvm_.CheckExtension(fd_, capability);
}

absl::StatusOr<std::vector<kvm_cpuid_entry2>> System::SupportedCpuid() const {
  return kvm_.GetSupportedCpuid(fd_);
}

}  // namespace vmwire
