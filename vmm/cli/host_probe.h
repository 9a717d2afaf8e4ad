// What this host's system calls say when they are tried: the facts that `vmwire doctor` judges.
//
// Invariants: nothing that is probed is left behind.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_HOST_PROBE_H_
#define VMWIRE_VMM_CLI_HOST_PROBE_H_

#include <string>
#include <vector>

namespace vmwire {

// What the system calls said. An errno of 0 is success; of the others none is asked after one that
// failed.
struct HostProbe {
  int kvm_open_errno = 0;    // open("/dev/kvm")
  int kvm_create_errno = 0;  // KVM_CREATE_VM
  int kvm_api_version = 0;
  // KVM_CHECK_EXTENSION, KVM API documentation 4.4: 0 is "no".
  int user_memory = 0;
  int memory_slots = 0;
  int immediate_exit = 0;
  int readonly_memory = 0;
  int guest_memfd = 0;
  int guest_memfd_flags = 0;
  int vcpus = 0;      // KVM_CAP_NR_VCPUS: how many a machine should have at most.
  int max_vcpus = 0;  // KVM_CAP_MAX_VCPUS: how many it can have.
  std::vector<std::string> kvm_modules;  // Of kvm_pvm, kvm_intel, kvm_amd.
  bool has_vmx_or_svm = false;           // In /proc/cpuinfo.
  int memfd_errno = 0;                   // memfd_create(2)
  int io_uring_errno = 0;                // io_uring_setup(2)
  bool has_buffer_tables = false;        // Sparse tables of registered buffers.
  bool has_buffer_cloning = false;       // One ring's table in another.
};

// Tries everything once, and closes what it opened. The arguments are for tests.
HostProbe ProbeHost(const std::string& kvm_device = "/dev/kvm",
                    const std::string& module_directory = "/sys/module",
                    const std::string& cpuinfo = "/proc/cpuinfo");

// True of a KVM that runs guests without the processor's help: their code at CPL 0 is emulated.
bool EmulatesRing0(const HostProbe& probe);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_HOST_PROBE_H_
