// KvmApi without KVM: slots by KVM's rules, a state per vCPU, and runs that play a script of exits.
//
// The slot rules that it knows (checked against the real KVM in tests/kernel/kvm_contract_test.cc):
// guest address, host address and size are page-aligned; flags are known ones; nothing wraps; ids
// are below KVM_CAP_NR_MEMSLOTS; a live slot keeps size, host address and read-only flag, but may
// move; slots do not overlap; size 0 deletes, and only what is there.
//
// The interrupt rules (tests/kernel/kvm_interrupt_contract_test.cc): one irqchip, before the first
// vCPU; one timer, after it; an irqfd needs the irqchip and an eventfd that is not one yet; an
// ioeventfd is taken once, and only what is there is taken back.
//
// Invariants: at its death no descriptor is open and nothing is mapped, or the test fails.
// Thread safety: none, but that a step of a script may wait for another thread, and that vCPUs may
// run at the same time: the first plays the script, the others sleep until they are kicked.
#ifndef VMWIRE_TESTS_FAKES_FAKE_KVM_H_
#define VMWIRE_TESTS_FAKES_FAKE_KVM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/fakes/journal.h"
#include "vmm/kvm_api.h"

namespace vmwire {

class FakeKvm final : public KvmApi {
 public:
  // What one KVM_RUN does: it fills in kvm_run, whose whole mapping it is given. EINTR is an
  // interruption; any other errno is that error.
  using Step = std::function<int(std::span<std::byte> run_bytes, kvm_run& run)>;

  // What may be set before use.
  struct Options {
    int api_version = 12;
    int slot_limit = 32764;
    bool read_only_slots = true;
    size_t vcpu_map_size = 3 * 4096;
    uint64_t tsc_khz = 1'000'000;
    // Makes the file of a guest_memfd of so many bytes; empty: this KVM has none.
    std::function<absl::StatusOr<int>(uint64_t size)> make_guest_memfd = {};
    // KVM_CAP_IRQCHIP, KVM_CAP_PIT2, KVM_CAP_IRQFD, KVM_CAP_IOEVENTFD.
    bool irqchip = true;
    bool pit = true;
    bool irqfd = true;
    bool ioeventfd = true;
    int vcpu_limit = 4;  // KVM_CAP_NR_VCPUS, KVM_CAP_MAX_VCPUS.
    // What KVM_GET_SUPPORTED_CPUID has beside leaf 0x80000008.
    std::vector<kvm_cpuid_entry2> cpuid = {kvm_cpuid_entry2{}};
    uint64_t guest_memfd_flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
  };

  // REQUIRES: `journal` outlives this object.
  explicit FakeKvm(Journal& journal) : FakeKvm(journal, Options()) {}
  FakeKvm(Journal& journal, const Options& options) : journal_(journal), options_(options) {}
  FakeKvm(const FakeKvm&) = delete;
  FakeKvm& operator=(const FakeKvm&) = delete;
  ~FakeKvm() override;

  // Scripts. A run beyond the end of the script is a test failure and a KVM_EXIT_SHUTDOWN.
  void Push(Step step) { script_.push_back(std::move(step)); }
  void PushExit(uint32_t reason);
  void PushOut(uint16_t port, std::vector<uint8_t> data, uint8_t size = 1);
  // The bytes that the devices gave are appended to `got` when the guest next runs.
  void PushIn(uint16_t port, uint8_t size, uint32_t count, std::vector<uint8_t>* got);
  void PushMmioWrite(uint64_t address, std::vector<uint8_t> data);
  void PushMmioRead(uint64_t address, uint32_t size, std::vector<uint8_t>* got);
  // KVM_RUN fails with `error`.
  void PushError(int error);

  // What a test may ask or set.
  size_t open_descriptors() const { return systems_.size() + vms_.size() + vcpus_.size(); }
  size_t mapped_runs() const { return runs_.size(); }
  size_t live_slots() const;
  // The live slots of every VM, by ascending id.
  std::vector<kvm_userspace_memory_region> slots() const;
  // Of every VM.
  size_t live_irqfds() const;
  size_t live_ioeventfds() const;
  size_t steps_left() const { return script_.size(); }
  // vCPUs that sleep in KVM_RUN now; may be asked from another thread.
  uint32_t sleeping() const { return sleeping_.load(); }
  // What every vCPU then says of itself (KVM_MP_STATE_*).
  void SetMpState(uint32_t state) { mp_state_ = state; }
  // The entry of a pin in the redirection table of every I/O APIC; all are masked at first.
  void SetIoapicPin(size_t pin, uint64_t entry) { ioapic_.redirtbl[pin].bits = entry; }
  // What was set for the vCPUs, in the order of their making.
  std::vector<std::vector<kvm_cpuid_entry2>> cpuids() const;
  std::vector<std::map<uint32_t, uint64_t>> msrs() const;
  std::vector<kvm_lapic_state> lapics() const;
  std::vector<kvm_regs> registers() const;
  // The translation of a page; identity for pages that are never set. nullopt: not mapped by the
  // guest.
  void SetTranslation(uint64_t linear_page, std::optional<uint64_t> physical_page);

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
  using Slots = std::map<uint32_t, kvm_userspace_memory_region>;
  struct VmState {
    Slots slots;
    std::vector<uint32_t> vcpu_ids;
    bool has_irqchip = false;
    bool has_pit = false;
    std::map<int, uint32_t> irqfds;  // GSI by eventfd.
    std::vector<kvm_ioeventfd> ioeventfds;
  };
  struct VcpuState {
    uint32_t id = 0;
    kvm_regs regs = {};
    kvm_sregs sregs = {};
    kvm_vcpu_events events = {};
    bool has_lapic = false;
    kvm_lapic_state lapic = {};
    std::map<uint32_t, uint64_t> msrs;
    std::vector<kvm_cpuid_entry2> cpuid;
    kvm_run* run = nullptr;
  };

  static kvm_ioapic_state IoapicAfterReset();
  int SlotError(const Slots& slots, const kvm_userspace_memory_region& region) const;
  int AssignIrqfd(VmState& vm, const kvm_irqfd& irqfd) const;
  int AssignIoeventfd(VmState& vm, const kvm_ioeventfd& ioeventfd) const;
  int DeassignIoeventfd(VmState& vm, const kvm_ioeventfd& ioeventfd) const;
  VcpuState& StateOf(VcpuFd vcpu);
  // Runs the completion of the last IN or MMIO read.
  void Complete(VcpuState& state);

  Journal& journal_;
  const Options options_;
  int next_fd_ = 100;
  uint32_t mp_state_ = KVM_MP_STATE_RUNNABLE;
  kvm_ioapic_state ioapic_ = IoapicAfterReset();
  std::atomic<uint32_t> sleeping_ = 0;
  std::map<SystemFd, bool> systems_;
  std::map<VmFd, VmState> vms_;
  std::map<VcpuFd, VcpuState> vcpus_;
  std::map<kvm_run*, std::vector<std::byte>> runs_;
  std::deque<Step> script_;
  std::function<void(std::span<const std::byte>)> completion_;
  std::map<uint64_t, std::optional<uint64_t>> translations_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_FAKE_KVM_H_
