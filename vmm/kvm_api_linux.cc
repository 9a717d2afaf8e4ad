#include "vmm/kvm_api_linux.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_format.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// An ioctl's result, which is not negative, or its errno as a Status.
template <typename Fd, typename... Argument>
absl::StatusOr<int> Ioctl(Fd fd, unsigned long request, const char* name, Argument... argument) {
  const int result = ioctl(static_cast<int>(fd), request, argument...);
  if (result < 0) return ErrnoStatus(errno, name);
  return result;
}

// Room for a cpuid leaf list: kvm_cpuid2 is a header before a flexible array.
class CpuidBuffer {
 public:
  explicit CpuidBuffer(size_t entries)
      : bytes_(sizeof(kvm_cpuid2) + entries * sizeof(kvm_cpuid_entry2)) {
    header()->nent = static_cast<uint32_t>(entries);
  }

  // SAFETY: vector storage is aligned for any fundamental type, and both structs are plain
  // integers.
  kvm_cpuid2* header() { return reinterpret_cast<kvm_cpuid2*>(bytes_.data()); }
  std::byte* entries() { return bytes_.data() + sizeof(kvm_cpuid2); }

 private:
  std::vector<std::byte> bytes_;
};

// The kernel's own bound on the entries of one call (KVM_MAX_CPUID_ENTRIES).
constexpr size_t kMaxCpuidEntries = 256;

}  // namespace

absl::StatusOr<SystemFd> KvmApiLinux::OpenSystem() {
  const int fd = open(device_.c_str(), O_RDWR | O_CLOEXEC);
  if (fd >= 0) return SystemFd{fd};
  const int error = errno;
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return absl::UnimplementedError(absl::StrFormat(
        "no usable %s; enable VT-x or SVM in the firmware (in a virtual machine: nested "
        "virtualization), then `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`",
        device_));
  }
  if (error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "no right to open %s; run `sudo usermod -aG kvm $USER` and log in again", device_));
  }
  return ErrnoStatus(error, "open " + device_);
}

absl::StatusOr<int> KvmApiLinux::GetApiVersion(SystemFd system) {
  absl::StatusOr<int> version = Ioctl(system, KVM_GET_API_VERSION, "KVM_GET_API_VERSION", 0);
  if (version.ok()) return version;
  // It takes no argument, so that only what is no KVM refuses it.
  return absl::UnimplementedError(absl::StrFormat("%s is not the device of KVM: %s", device_,
                                                  std::string(version.status().message())));
}

absl::StatusOr<int> KvmApiLinux::CheckExtension(SystemFd system, int capability) {
  return Ioctl(system, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", capability);
}

absl::StatusOr<size_t> KvmApiLinux::GetVcpuMapSize(SystemFd system) {
  VMWIRE_ASSIGN_OR_RETURN(const int size,
                          Ioctl(system, KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE", 0));
  return static_cast<size_t>(size);
}

absl::StatusOr<std::vector<kvm_cpuid_entry2>> KvmApiLinux::GetSupportedCpuid(SystemFd system) {
  CpuidBuffer buffer(kMaxCpuidEntries);
  VMWIRE_RETURN_IF_ERROR(
      Ioctl(system, KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID", buffer.header()).status());
  std::vector<kvm_cpuid_entry2> entries(buffer.header()->nent);
  std::memcpy(entries.data(), buffer.entries(), entries.size() * sizeof(kvm_cpuid_entry2));
  return entries;
}

absl::StatusOr<VmFd> KvmApiLinux::CreateVm(SystemFd system) {
  // KVM takes locks of the memory notifiers interruptibly here, so a signal, such as a timer's,
  // ends the call with EINTR although nothing is wrong; nothing was made, and the next try may go
  // through.
  int fd;
  do {
    fd = ioctl(static_cast<int>(system), KVM_CREATE_VM, 0);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoStatus(errno, "KVM_CREATE_VM");
  return VmFd{fd};
}

absl::Status KvmApiLinux::SetUserMemoryRegion(VmFd vm, const kvm_userspace_memory_region& region) {
  return Ioctl(vm, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region).status();
}

absl::StatusOr<int> KvmApiLinux::CreateGuestMemfd(VmFd vm, uint64_t size, uint64_t flags) {
  kvm_create_guest_memfd request = {};
  request.size = size;
  request.flags = flags;
  return Ioctl(vm, KVM_CREATE_GUEST_MEMFD, "KVM_CREATE_GUEST_MEMFD", &request);
}

absl::Status KvmApiLinux::CreateIrqchip(VmFd vm) {
  return Ioctl(vm, KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP", 0).status();
}

absl::Status KvmApiLinux::CreatePit2(VmFd vm, const kvm_pit_config& config) {
  return Ioctl(vm, KVM_CREATE_PIT2, "KVM_CREATE_PIT2", &config).status();
}

absl::Status KvmApiLinux::SetIrqfd(VmFd vm, const kvm_irqfd& irqfd) {
  return Ioctl(vm, KVM_IRQFD, "KVM_IRQFD", &irqfd).status();
}

absl::Status KvmApiLinux::SetIrqLine(VmFd vm, uint32_t gsi, bool high) {
  kvm_irq_level level = {};
  level.irq = gsi;
  level.level = high ? 1 : 0;
  return Ioctl(vm, KVM_IRQ_LINE, "KVM_IRQ_LINE", &level).status();
}

absl::StatusOr<kvm_ioapic_state> KvmApiLinux::GetIoapic(VmFd vm) {
  kvm_irqchip chip = {};
  chip.chip_id = KVM_IRQCHIP_IOAPIC;
  VMWIRE_RETURN_IF_ERROR(Ioctl(vm, KVM_GET_IRQCHIP, "KVM_GET_IRQCHIP", &chip).status());
  return chip.chip.ioapic;
}

absl::Status KvmApiLinux::SetIoeventfd(VmFd vm, const kvm_ioeventfd& ioeventfd) {
  return Ioctl(vm, KVM_IOEVENTFD, "KVM_IOEVENTFD", &ioeventfd).status();
}

absl::Status KvmApiLinux::SetTssAddress(VmFd vm, uint64_t address) {
  return Ioctl(vm, KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", static_cast<unsigned long>(address))
      .status();
}

absl::StatusOr<VcpuFd> KvmApiLinux::CreateVcpu(VmFd vm, uint32_t id) {
  VMWIRE_ASSIGN_OR_RETURN(
      const int fd, Ioctl(vm, KVM_CREATE_VCPU, "KVM_CREATE_VCPU", static_cast<unsigned long>(id)));
  return VcpuFd{fd};
}

absl::StatusOr<kvm_run*> KvmApiLinux::MapRun(VcpuFd vcpu, size_t size) {
  void* const address =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(vcpu), 0);
  if (address == MAP_FAILED) return ErrnoStatus(errno, "mmap of kvm_run");
  return static_cast<kvm_run*>(address);
}

void KvmApiLinux::UnmapRun(kvm_run* run, size_t size) { munmap(run, size); }

absl::StatusOr<kvm_regs> KvmApiLinux::GetRegs(VcpuFd vcpu) {
  kvm_regs regs = {};
  VMWIRE_RETURN_IF_ERROR(Ioctl(vcpu, KVM_GET_REGS, "KVM_GET_REGS", &regs).status());
  return regs;
}

absl::Status KvmApiLinux::SetRegs(VcpuFd vcpu, const kvm_regs& regs) {
  return Ioctl(vcpu, KVM_SET_REGS, "KVM_SET_REGS", &regs).status();
}

absl::StatusOr<kvm_sregs> KvmApiLinux::GetSregs(VcpuFd vcpu) {
  kvm_sregs sregs = {};
  VMWIRE_RETURN_IF_ERROR(Ioctl(vcpu, KVM_GET_SREGS, "KVM_GET_SREGS", &sregs).status());
  return sregs;
}

absl::Status KvmApiLinux::SetSregs(VcpuFd vcpu, const kvm_sregs& sregs) {
  return Ioctl(vcpu, KVM_SET_SREGS, "KVM_SET_SREGS", &sregs).status();
}

absl::Status KvmApiLinux::SetCpuid(VcpuFd vcpu, std::span<const kvm_cpuid_entry2> entries) {
  CpuidBuffer buffer(entries.size());
  std::memcpy(buffer.entries(), entries.data(), entries.size_bytes());
  return Ioctl(vcpu, KVM_SET_CPUID2, "KVM_SET_CPUID2", buffer.header()).status();
}

absl::Status KvmApiLinux::SetMsrs(VcpuFd vcpu, std::span<const kvm_msr_entry> msrs) {
  std::vector<std::byte> bytes(sizeof(kvm_msrs) + msrs.size_bytes());
  // SAFETY: as CpuidBuffer's.
  kvm_msrs* const header = reinterpret_cast<kvm_msrs*>(bytes.data());
  header->nmsrs = static_cast<uint32_t>(msrs.size());
  std::memcpy(bytes.data() + sizeof(kvm_msrs), msrs.data(), msrs.size_bytes());
  VMWIRE_ASSIGN_OR_RETURN(const int taken, Ioctl(vcpu, KVM_SET_MSRS, "KVM_SET_MSRS", header));
  if (static_cast<size_t>(taken) == msrs.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("KVM_SET_MSRS: MSR 0x%x = 0x%x is not taken",
                                                    msrs[static_cast<size_t>(taken)].index,
                                                    msrs[static_cast<size_t>(taken)].data));
}

absl::StatusOr<kvm_xcrs> KvmApiLinux::GetXcrs(VcpuFd vcpu) {
  kvm_xcrs xcrs = {};
  VMWIRE_RETURN_IF_ERROR(Ioctl(vcpu, KVM_GET_XCRS, "KVM_GET_XCRS", &xcrs).status());
  return xcrs;
}

absl::StatusOr<kvm_vcpu_events> KvmApiLinux::GetVcpuEvents(VcpuFd vcpu) {
  kvm_vcpu_events events = {};
  VMWIRE_RETURN_IF_ERROR(Ioctl(vcpu, KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS", &events).status());
  return events;
}

absl::Status KvmApiLinux::SetVcpuEvents(VcpuFd vcpu, const kvm_vcpu_events& events) {
  return Ioctl(vcpu, KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", &events).status();
}

absl::StatusOr<uint32_t> KvmApiLinux::GetMpState(VcpuFd vcpu) {
  kvm_mp_state state = {};
  VMWIRE_RETURN_IF_ERROR(Ioctl(vcpu, KVM_GET_MP_STATE, "KVM_GET_MP_STATE", &state).status());
  return state.mp_state;
}

absl::StatusOr<kvm_lapic_state> KvmApiLinux::GetLapic(VcpuFd vcpu) {
  kvm_lapic_state state = {};
  VMWIRE_RETURN_IF_ERROR(Ioctl(vcpu, KVM_GET_LAPIC, "KVM_GET_LAPIC", &state).status());
  return state;
}

absl::Status KvmApiLinux::SetLapic(VcpuFd vcpu, const kvm_lapic_state& state) {
  return Ioctl(vcpu, KVM_SET_LAPIC, "KVM_SET_LAPIC", &state).status();
}

absl::StatusOr<uint64_t> KvmApiLinux::GetTscKhz(VcpuFd vcpu) {
  VMWIRE_ASSIGN_OR_RETURN(const int khz, Ioctl(vcpu, KVM_GET_TSC_KHZ, "KVM_GET_TSC_KHZ", 0));
  return static_cast<uint64_t>(khz);
}

absl::StatusOr<kvm_translation> KvmApiLinux::Translate(VcpuFd vcpu, uint64_t linear) {
  kvm_translation translation = {};
  translation.linear_address = linear;
  VMWIRE_RETURN_IF_ERROR(Ioctl(vcpu, KVM_TRANSLATE, "KVM_TRANSLATE", &translation).status());
  return translation;
}

absl::StatusOr<RunResult> KvmApiLinux::Run(VcpuFd vcpu) {
  if (ioctl(static_cast<int>(vcpu), KVM_RUN, 0) >= 0) return RunResult::kExit;
  // EAGAIN: a vCPU that waited for its start got it, or woke for another reason.
  if (errno == EINTR || errno == EAGAIN) return RunResult::kInterrupted;
  return ErrnoStatus(errno, "KVM_RUN");
}

void KvmApiLinux::Close(SystemFd system) { close(static_cast<int>(system)); }
void KvmApiLinux::Close(VmFd vm) { close(static_cast<int>(vm)); }
void KvmApiLinux::Close(VcpuFd vcpu) { close(static_cast<int>(vcpu)); }

}  // namespace vmwire
