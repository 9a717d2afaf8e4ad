// The seam to KVM: one function an ioctl, nothing else.
//
// The real one (kvm_api_linux.h) is thin. The fake one of the tests keeps a journal, knows KVM's
// slot rules and plays scripts of exits; one contract test holds both to the same behaviour.
// Numbers and meanings: Documentation/virt/kvm/api.rst of Linux.
//
// Invariants: a call that fails has changed nothing. A descriptor is owned by the class that wraps
// it (System, Vm, Vcpu), which closes it; nothing else keeps one.
//
// Thread safety: functions on different descriptors may be called from different threads; those on
// one vCPU only from the thread that runs it.
#ifndef VMWIRE_VMM_KVM_API_H_
#define VMWIRE_VMM_KVM_API_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm_abi.h"

namespace vmwire {

// File descriptors by what they are: of /dev/kvm, of a VM, of a vCPU.
enum class SystemFd : int {};
enum class VmFd : int {};
enum class VcpuFd : int {};

// How KVM_RUN came back.
enum class RunResult {
  kExit,         // kvm_run says why.
  kInterrupted,  // EINTR: a signal, or immediate_exit; EAGAIN: a vCPU that waited for its start
                 // woke. Nothing is pending; to run again goes on.
};

class KvmApi {
 public:
  virtual ~KvmApi() = default;

  // Opens /dev/kvm. Unimplemented: there is none. PermissionDenied: no right to it. Both messages
  // say what to do.
  virtual absl::StatusOr<SystemFd> OpenSystem() = 0;
  // KVM_GET_API_VERSION. It is 12 since Linux 2.6.22; a user of any other must not go on
  // (api.rst, 4.1).
  virtual absl::StatusOr<int> GetApiVersion(SystemFd system) = 0;
  // KVM_CHECK_EXTENSION: 0 if KVM lacks `capability`, else a positive number whose meaning is the
  // capability's.
  virtual absl::StatusOr<int> CheckExtension(SystemFd system, int capability) = 0;
  // KVM_GET_VCPU_MMAP_SIZE, in bytes.
  virtual absl::StatusOr<size_t> GetVcpuMapSize(SystemFd system) = 0;
  // KVM_GET_SUPPORTED_CPUID.
  virtual absl::StatusOr<std::vector<kvm_cpuid_entry2>> GetSupportedCpuid(SystemFd system) = 0;

  // KVM_CREATE_VM, again as long as it returns EINTR. ResourceExhausted: no memory, or too many
  // files.
  virtual absl::StatusOr<VmFd> CreateVm(SystemFd system) = 0;
  // KVM_SET_USER_MEMORY_REGION. InvalidArgument: unaligned, wrapping, a flag that KVM does not
  // know, an id at or above KVM_CAP_NR_MEMSLOTS, a changed size or host address, or the deletion of
  // a slot that is not there. AlreadyExists: it overlaps another slot. KVM neither pins nor checks
  // the host memory.
  virtual absl::Status SetUserMemoryRegion(VmFd vm, const kvm_userspace_memory_region& region) = 0;
  // KVM_CREATE_GUEST_MEMFD: a new file of `size` bytes of memory for this VM, which is the caller's
  // to close, as any file; nothing is faulted in. InvalidArgument: a size that is 0 or unaligned,
  // or a flag that KVM does not know. Any other error: this KVM has no such files. The flags that
  // it knows: KVM_CAP_GUEST_MEMFD_FLAGS.
  virtual absl::StatusOr<int> CreateGuestMemfd(VmFd vm, uint64_t size, uint64_t flags) = 0;

  // KVM_CREATE_IRQCHIP: two 8259 PICs, an I/O APIC, and a local APIC for each vCPU that comes
  // later, all in the kernel; interrupts 0 to 15 reach PIC and I/O APIC. HLT does not come back
  // from KVM_RUN any more: the vCPU sleeps until an interrupt, or a signal (EINTR). AlreadyExists:
  // the VM has them. InvalidArgument: it has a vCPU. Any other error: this KVM has none
  // (KVM_CAP_IRQCHIP).
  virtual absl::Status CreateIrqchip(VmFd vm) = 0;
  // KVM_CREATE_PIT2: an 8254 timer in the kernel, whose counter 0 raises interrupt 0.
  // AlreadyExists: the VM has one. REQUIRES: the VM has an irqchip (kernels from 6.13 say NotFound,
  // older ones nothing).
  virtual absl::Status CreatePit2(VmFd vm, const kvm_pit_config& config) = 0;
  // KVM_IRQFD: each write to the eventfd `irqfd.fd` is an edge of the interrupt `irqfd.gsi`, until
  // it is taken back (KVM_IRQFD_FLAG_DEASSIGN), after which no edge is under way.
  // InvalidArgument: the file is no eventfd, a flag that KVM does not know, or the VM has no
  // irqchip (of which some kernels say Unavailable). FailedPrecondition: the eventfd is an irqfd
  // already, or no open file. To take back what is not there is no error.
  virtual absl::Status SetIrqfd(VmFd vm, const kvm_irqfd& irqfd) = 0;
  // KVM_IRQ_LINE: the pin `gsi` of the irqchip is high, or low, until it is set again; one that is
  // not there is no error. NotFound: the VM has no irqchip.
  virtual absl::Status SetIrqLine(VmFd vm, uint32_t gsi, bool high) = 0;
  // KVM_GET_IRQCHIP of the I/O APIC. NotFound: the VM has no irqchip.
  virtual absl::StatusOr<kvm_ioapic_state> GetIoapic(VmFd vm) = 0;
  // KVM_IOEVENTFD: a write of `len` bytes to the address (with KVM_IOEVENTFD_FLAG_DATAMATCH: of
  // that value) signals the eventfd and never comes back from KVM_RUN, until it is taken back
  // (KVM_IOEVENTFD_FLAG_DEASSIGN); reads come back as before. AlreadyExists: that address, length
  // and value are taken. NotFound: what is to be taken back is not there. InvalidArgument: a length
  // that is not 0, 1, 2, 4 or 8, a range that wraps, a flag that KVM does not know, or a file that
  // is no eventfd. FailedPrecondition: no open file.
  virtual absl::Status SetIoeventfd(VmFd vm, const kvm_ioeventfd& ioeventfd) = 0;

  // KVM_SET_TSS_ADDR: three pages of guest addresses, at no slot, that KVM may use itself where the
  // CPU has no real mode for guests. REQUIRES: before the first vCPU.
  virtual absl::Status SetTssAddress(VmFd vm, uint64_t address) = 0;

  // KVM_CREATE_VCPU. AlreadyExists: the VM has a vCPU of that id. InvalidArgument: the id is too
  // large.
  virtual absl::StatusOr<VcpuFd> CreateVcpu(VmFd vm, uint32_t id) = 0;
  // Maps the vCPU's kvm_run of `size` bytes, which is GetVcpuMapSize's. ResourceExhausted: no
  // memory for it.
  virtual absl::StatusOr<kvm_run*> MapRun(VcpuFd vcpu, size_t size) = 0;
  // REQUIRES: `run` and `size` are those of a MapRun.
  virtual void UnmapRun(kvm_run* run, size_t size) = 0;

  // KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS. InvalidArgument: a state that no CPU
  // can be in.
  virtual absl::StatusOr<kvm_regs> GetRegs(VcpuFd vcpu) = 0;
  virtual absl::Status SetRegs(VcpuFd vcpu, const kvm_regs& regs) = 0;
  virtual absl::StatusOr<kvm_sregs> GetSregs(VcpuFd vcpu) = 0;
  virtual absl::Status SetSregs(VcpuFd vcpu, const kvm_sregs& sregs) = 0;
  // KVM_SET_CPUID2. InvalidArgument: too many entries, or after the first run.
  virtual absl::Status SetCpuid(VcpuFd vcpu, std::span<const kvm_cpuid_entry2> entries) = 0;
  // KVM_SET_MSRS of all of `msrs`. InvalidArgument, naming the first that KVM does not take: that
  // one and those after it are as they were.
  virtual absl::Status SetMsrs(VcpuFd vcpu, std::span<const kvm_msr_entry> msrs) = 0;
  // KVM_GET_XCRS. Any error means that this KVM does not say (KVM_CAP_XCRS).
  virtual absl::StatusOr<kvm_xcrs> GetXcrs(VcpuFd vcpu) = 0;
  // KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS: exceptions and interrupts that are under way.
  // InvalidArgument: no CPU can have them.
  virtual absl::StatusOr<kvm_vcpu_events> GetVcpuEvents(VcpuFd vcpu) = 0;
  virtual absl::Status SetVcpuEvents(VcpuFd vcpu, const kvm_vcpu_events& events) = 0;
  // KVM_GET_MP_STATE: KVM_MP_STATE_RUNNABLE, _HALTED, _UNINITIALIZED (waits for an INIT), ...
  // InvalidArgument: the VM has no irqchip (some kernels only).
  virtual absl::StatusOr<uint32_t> GetMpState(VcpuFd vcpu) = 0;
  // KVM_GET_LAPIC, KVM_SET_LAPIC: the registers of the local APIC, at the offsets of its page
  // (Intel SDM volume 3, table 11-1). InvalidArgument: the vCPU has none in the kernel.
  virtual absl::StatusOr<kvm_lapic_state> GetLapic(VcpuFd vcpu) = 0;
  virtual absl::Status SetLapic(VcpuFd vcpu, const kvm_lapic_state& state) = 0;
  // KVM_GET_TSC_KHZ. Any error means that the host does not say.
  virtual absl::StatusOr<uint64_t> GetTscKhz(VcpuFd vcpu) = 0;
  // KVM_TRANSLATE: the guest's own page tables, for the linear address `linear`. `valid` is 0 where
  // they map nothing.
  virtual absl::StatusOr<kvm_translation> Translate(VcpuFd vcpu, uint64_t linear) = 0;
  // KVM_RUN. FailedPrecondition (EFAULT): the host could not give guest memory that the guest
  // touched; kvm_run may then say which (KVM_EXIT_MEMORY_FAULT). Any other error: the vCPU cannot
  // run at all.
  virtual absl::StatusOr<RunResult> Run(VcpuFd vcpu) = 0;

  virtual void Close(SystemFd system) = 0;
  virtual void Close(VmFd vm) = 0;
  virtual void Close(VcpuFd vcpu) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_KVM_API_H_
