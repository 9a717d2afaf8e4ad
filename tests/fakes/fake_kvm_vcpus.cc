// The vCPUs of FakeKvm.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "memory/errno_status.h"
#include "memory/status_macros.h"
#include "tests/fakes/fake_kvm.h"

namespace vmwire {
namespace {

constexpr size_t kMaxCpuidEntries = 256;
// An MSR that no CPU has.
constexpr uint32_t kUnknownMsr = 0xdeadbeef;

}  // namespace

absl::StatusOr<VcpuFd> FakeKvm::CreateVcpu(VmFd vm, uint32_t id) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("kvm create vcpu %d", id)));
  const auto state = vms_.find(vm);
  if (state == vms_.end()) return ErrnoStatus(EBADF, "KVM_CREATE_VCPU");
  std::vector<uint32_t>& ids = state->second.vcpu_ids;
  if (std::find(ids.begin(), ids.end(), id) != ids.end()) {
    return ErrnoStatus(EEXIST, "KVM_CREATE_VCPU");
  }
  ids.push_back(id);
  const VcpuFd fd{next_fd_++};
  vcpus_[fd].id = id;
  vcpus_[fd].has_lapic = state->second.has_irqchip;
  return fd;
}

absl::StatusOr<kvm_run*> FakeKvm::MapRun(VcpuFd vcpu, size_t size) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm map run"));
  std::vector<std::byte> bytes(size);
  kvm_run* const run = reinterpret_cast<kvm_run*>(bytes.data());
  StateOf(vcpu).run = run;
  runs_[run] = std::move(bytes);
  return run;
}

void FakeKvm::UnmapRun(kvm_run* run, size_t size) {
  const JournalScope scope(journal_);
  journal_.Note("kvm unmap run");
  const auto mapping = runs_.find(run);
  ASSERT_NE(mapping, runs_.end()) << "a kvm_run that is not mapped";
  EXPECT_EQ(mapping->second.size(), size);
  runs_.erase(mapping);
  for (auto& [fd, state] : vcpus_) {
    if (state.run == run) state.run = nullptr;
  }
}

absl::StatusOr<kvm_regs> FakeKvm::GetRegs(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get regs"));
  return StateOf(vcpu).regs;
}

absl::Status FakeKvm::SetRegs(VcpuFd vcpu, const kvm_regs& regs) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm set regs"));
  StateOf(vcpu).regs = regs;
  return absl::OkStatus();
}

absl::StatusOr<kvm_sregs> FakeKvm::GetSregs(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get sregs"));
  return StateOf(vcpu).sregs;
}

absl::Status FakeKvm::SetSregs(VcpuFd vcpu, const kvm_sregs& sregs) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm set sregs"));
  StateOf(vcpu).sregs = sregs;
  return absl::OkStatus();
}

absl::Status FakeKvm::SetCpuid(VcpuFd vcpu, std::span<const kvm_cpuid_entry2> entries) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm set cpuid"));
  if (entries.size() > kMaxCpuidEntries) return ErrnoStatus(E2BIG, "KVM_SET_CPUID2");
  StateOf(vcpu).cpuid.assign(entries.begin(), entries.end());
  return absl::OkStatus();
}

std::vector<std::vector<kvm_cpuid_entry2>> FakeKvm::cpuids() const {
  std::vector<std::vector<kvm_cpuid_entry2>> all;
  for (const auto& [fd, state] : vcpus_) all.push_back(state.cpuid);
  return all;
}

std::vector<std::map<uint32_t, uint64_t>> FakeKvm::msrs() const {
  std::vector<std::map<uint32_t, uint64_t>> all;
  for (const auto& [fd, state] : vcpus_) all.push_back(state.msrs);
  return all;
}

std::vector<kvm_lapic_state> FakeKvm::lapics() const {
  std::vector<kvm_lapic_state> all;
  for (const auto& [fd, state] : vcpus_) all.push_back(state.lapic);
  return all;
}

std::vector<kvm_regs> FakeKvm::registers() const {
  std::vector<kvm_regs> all;
  for (const auto& [fd, state] : vcpus_) all.push_back(state.regs);
  return all;
}

absl::StatusOr<kvm_lapic_state> FakeKvm::GetLapic(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get lapic"));
  if (!StateOf(vcpu).has_lapic) return ErrnoStatus(EINVAL, "KVM_GET_LAPIC");
  return StateOf(vcpu).lapic;
}

absl::Status FakeKvm::SetLapic(VcpuFd vcpu, const kvm_lapic_state& state) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm set lapic"));
  if (!StateOf(vcpu).has_lapic) return ErrnoStatus(EINVAL, "KVM_SET_LAPIC");
  StateOf(vcpu).lapic = state;
  return absl::OkStatus();
}

absl::Status FakeKvm::SetMsrs(VcpuFd vcpu, std::span<const kvm_msr_entry> msrs) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm set msrs"));
  for (const kvm_msr_entry& msr : msrs) {
    if (msr.index == kUnknownMsr) {
      return absl::InvalidArgumentError(
          absl::StrFormat("KVM_SET_MSRS: MSR 0x%x = 0x%x is not taken", msr.index, msr.data));
    }
    StateOf(vcpu).msrs[msr.index] = msr.data;
  }
  return absl::OkStatus();
}

absl::StatusOr<kvm_xcrs> FakeKvm::GetXcrs(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get xcrs"));
  StateOf(vcpu);
  kvm_xcrs xcrs = {};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = 1;  // XCR0 of a CPU after reset: x87.
  return xcrs;
}

absl::StatusOr<kvm_vcpu_events> FakeKvm::GetVcpuEvents(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get vcpu events"));
  return StateOf(vcpu).events;
}

absl::Status FakeKvm::SetVcpuEvents(VcpuFd vcpu, const kvm_vcpu_events& events) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm set vcpu events"));
  if (events.exception.injected != 0 && (events.exception.nr > 31 || events.exception.nr == 2)) {
    return ErrnoStatus(EINVAL, "KVM_SET_VCPU_EVENTS");
  }
  StateOf(vcpu).events = events;
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> FakeKvm::GetMpState(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get mp state"));
  StateOf(vcpu);
  return mp_state_;
}

absl::StatusOr<uint64_t> FakeKvm::GetTscKhz(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm get tsc khz"));
  StateOf(vcpu);
  return options_.tsc_khz;
}

absl::StatusOr<kvm_translation> FakeKvm::Translate(VcpuFd vcpu, uint64_t linear) {
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter(absl::StrFormat("kvm translate 0x%x", linear)));
  StateOf(vcpu);
  kvm_translation translation = {};
  translation.linear_address = linear;
  translation.physical_address = linear;
  translation.valid = 1;
  const auto entry = translations_.find(AlignDown(linear, kPageSize));
  if (entry == translations_.end()) return translation;
  translation.valid = entry->second.has_value() ? 1 : 0;
  translation.physical_address = entry->second.value_or(0) + linear % kPageSize;
  return translation;
}

absl::StatusOr<RunResult> FakeKvm::Run(VcpuFd vcpu) {
  // Nobody ever starts the others: they sleep until they are kicked.
  if (StateOf(vcpu).id != 0) {
    sleeping_.fetch_add(1);
    while (__atomic_load_n(&StateOf(vcpu).run->immediate_exit, __ATOMIC_RELAXED) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    sleeping_.fetch_sub(1);
    return RunResult::kInterrupted;
  }
  const JournalScope scope(journal_);
  VMWIRE_RETURN_IF_ERROR(journal_.Enter("kvm run"));
  VcpuState& state = StateOf(vcpu);
  if (state.run == nullptr) return ErrnoStatus(EFAULT, "KVM_RUN");
  Complete(state);
  if (__atomic_load_n(&state.run->immediate_exit, __ATOMIC_RELAXED) != 0) {
    return RunResult::kInterrupted;
  }
  if (script_.empty()) {
    ADD_FAILURE() << "the script of exits has ended, but the run goes on";
    state.run->exit_reason = KVM_EXIT_SHUTDOWN;
    return RunResult::kExit;
  }
  const Step step = std::move(script_.front());
  script_.pop_front();
  const int error = step(runs_.at(state.run), *state.run);
  if (error == EINTR) return RunResult::kInterrupted;
  if (error != 0) return ErrnoStatus(error, "KVM_RUN");
  return RunResult::kExit;
}

void FakeKvm::Close(VcpuFd vcpu) {
  const JournalScope scope(journal_);
  journal_.Note("kvm close vcpu");
  EXPECT_EQ(vcpus_.erase(vcpu), 1u) << "closed twice";
}

FakeKvm::VcpuState& FakeKvm::StateOf(VcpuFd vcpu) {
  const auto state = vcpus_.find(vcpu);
  if (state == vcpus_.end()) {
    ADD_FAILURE() << "a vCPU that is not open";
    return vcpus_[vcpu];
  }
  return state->second;
}

void FakeKvm::Complete(VcpuState& state) {
  const auto completion = std::exchange(completion_, nullptr);
  if (completion) completion(runs_.at(state.run));
}

}  // namespace vmwire
