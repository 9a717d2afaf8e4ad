#include "vmm/cpu_setup.h"

#include <array>
#include <cstring>
#include <string>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// CPUID leaf whose EAX bits 0 to 7 are the bits of a guest physical address (Intel SDM volume 2,
// CPUID).
constexpr uint32_t kAddressSizesLeaf = 0x80000008;
// What a CPU without that leaf has.
constexpr uint32_t kDefaultAddressBits = 36;

// Intel SDM volume 4, 2.1; volume 3, 12.11.2.1 (IA32_MTRR_DEF_TYPE).
constexpr uint32_t kMiscEnableMsr = 0x1a0;
constexpr uint64_t kFastStrings = 1;
constexpr uint32_t kMtrrDefaultTypeMsr = 0x2ff;
constexpr uint64_t kMtrrsEnabled = uint64_t{1} << 11;
constexpr uint64_t kWriteBack = 6;

// Registers of a local APIC and what they are given (Intel SDM volume 3, 11.4.1, 11.5.1, 11.9).
constexpr size_t kSpuriousVector = 0xf0;
constexpr uint32_t kApicOn = 0x1ff;
constexpr size_t kLint0 = 0x350;
constexpr uint32_t kExternalInterrupts = 0x700;
constexpr size_t kLint1 = 0x360;
constexpr uint32_t kNonMaskable = 0x400;

void PutRegister(kvm_lapic_state& apic, size_t offset, uint32_t value) {
  std::memcpy(apic.regs + offset, &value, sizeof(value));
}

absl::StatusOr<std::vector<CpuFeature>> HiddenFeatures(const MachineConfig& config) {
  std::vector<CpuFeature> features;
  for (const std::string& name : config.cpu_hide) {
    VMWIRE_ASSIGN_OR_RETURN(const CpuFeature feature, FindCpuFeature(name));
    features.push_back(feature);
  }
  return features;
}

}  // namespace

absl::Status CheckCpuConfig(const MachineConfig& config) {
  if (config.cpus < 1 || config.cpus > kMaxCpus) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a machine has 1 to %d CPUs, not %d", kMaxCpus, config.cpus));
  }
  return HiddenFeatures(config).status();
}

absl::Status CheckCpuCount(const System& system, uint32_t cpus) {
  VMWIRE_ASSIGN_OR_RETURN(const int most, system.CheckExtension(KVM_CAP_MAX_VCPUS));
  constexpr int kWithoutTheCapability = 4;  // api.rst, 4.7.
  const int limit = most > 0 ? most : kWithoutTheCapability;
  if (cpus <= static_cast<uint32_t>(limit)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "%d CPUs are more than this KVM gives a machine, %d; use a smaller --cpus", cpus, limit));
}

uint32_t GuestAddressBits(const std::vector<kvm_cpuid_entry2>& supported) {
  for (const kvm_cpuid_entry2& entry : supported) {
    if (entry.function == kAddressSizesLeaf) return entry.eax & 0xff;
  }
  return kDefaultAddressBits;
}

absl::StatusOr<CpuidPolicy> MakeCpuidPolicy(const System& system,
                                            const InterruptController& interrupts,
                                            const MachineConfig& config) {
  CpuidPolicy policy{.cpus = config.cpus};
  if (interrupts.has_irqchip) {
    VMWIRE_ASSIGN_OR_RETURN(const int deadline, system.CheckExtension(KVM_CAP_TSC_DEADLINE_TIMER));
    policy.tsc_deadline_timer = deadline != 0;
  }
  VMWIRE_ASSIGN_OR_RETURN(policy.hidden, HiddenFeatures(config));
  return policy;
}

void SetFirmwareMsrs(std::span<const std::unique_ptr<Vcpu>> vcpus) {
  constexpr std::array kMsrs = {
      kvm_msr_entry{.index = kMiscEnableMsr, .reserved = 0, .data = kFastStrings},
      kvm_msr_entry{
          .index = kMtrrDefaultTypeMsr, .reserved = 0, .data = kMtrrsEnabled | kWriteBack}};
  for (const std::unique_ptr<Vcpu>& vcpu : vcpus) {
    for (const kvm_msr_entry& msr : kMsrs) {
      vcpu->SetMsrs(std::span(&msr, 1)).IgnoreError();  // A KVM that has it not needs it not.
    }
  }
}

absl::Status SetFirmwareApics(std::span<const std::unique_ptr<Vcpu>> vcpus) {
  for (const std::unique_ptr<Vcpu>& vcpu : vcpus) {
    VMWIRE_ASSIGN_OR_RETURN(kvm_lapic_state apic, vcpu->GetLapic());
    if (vcpu == vcpus.front()) {
      PutRegister(apic, kSpuriousVector, kApicOn);
      PutRegister(apic, kLint0, kExternalInterrupts);
      PutRegister(apic, kLint1, kNonMaskable);
    }
    VMWIRE_RETURN_IF_ERROR(vcpu->SetLapic(apic));
  }
  return absl::OkStatus();
}

}  // namespace vmwire
