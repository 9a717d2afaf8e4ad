#include "vmm/cpuid_policy.h"

#include <algorithm>
#include <bit>

namespace vmwire {
namespace {

constexpr uint32_t Bit(uint32_t number) { return uint32_t{1} << number; }

// `value` with its bits [low, low + count) replaced.
constexpr uint32_t WithField(uint32_t value, uint32_t low, uint32_t count, uint32_t field) {
  const uint32_t mask = (Bit(count) - 1) << low;
  return (value & ~mask) | (field << low & mask);
}

uint32_t& RegisterOf(kvm_cpuid_entry2& entry, CpuidRegister reg) {
  switch (reg) {
    case CpuidRegister::kEax:
      return entry.eax;
    case CpuidRegister::kEbx:
      return entry.ebx;
    case CpuidRegister::kEcx:
      return entry.ecx;
    case CpuidRegister::kEdx:
      break;
  }
  return entry.edx;
}

bool IsTopologyLeaf(const kvm_cpuid_entry2& entry) {
  return entry.function == 0xb || entry.function == 0x1f;
}

// Bits of an APIC id that tell the cores of the package apart.
uint32_t CoreBits(uint32_t cpus) { return static_cast<uint32_t>(std::bit_width(cpus - 1)); }

// Leaf 1: EBX has the initial APIC id and how many ids a package has; ECX and EDX features.
void SetBasicFeatures(const CpuidPolicy& policy, uint32_t apic_id, kvm_cpuid_entry2& entry) {
  entry.ebx = WithField(entry.ebx, 24, 8, apic_id);
  // The field has no room for 256 ids.
  entry.ebx = WithField(entry.ebx, 16, 8, std::min(Bit(CoreBits(policy.cpus)), 255u));
  constexpr uint32_t kMonitor = Bit(3);
  constexpr uint32_t kVmx = Bit(5);
  constexpr uint32_t kCounterCapabilities = Bit(15);
  constexpr uint32_t kTscDeadline = Bit(24);
  constexpr uint32_t kHypervisor = Bit(31);
  entry.ecx &= ~(kMonitor | kVmx | kCounterCapabilities | kTscDeadline);
  entry.ecx |= kHypervisor | (policy.tsc_deadline_timer ? kTscDeadline : 0);
  constexpr uint32_t kSeveralIds = Bit(28);  // "HTT": the count in EBX means something.
  entry.edx = (entry.edx & ~kSeveralIds) | (policy.cpus > 1 ? kSeveralIds : 0);
}

// Leaf 4, a cache: which CPUs share it, and how many cores the package has. Only what the host
// shares between all is shared by all.
void SetCacheSharing(const CpuidPolicy& policy, kvm_cpuid_entry2& entry) {
  const uint32_t type = entry.eax & 0x1f;
  if (type == 0) return;  // The end of the list.
  const uint32_t level = entry.eax >> 5 & 7;
  const uint32_t ids = Bit(CoreBits(policy.cpus));
  entry.eax = WithField(entry.eax, 14, 12, level >= 3 ? ids - 1 : 0);
  entry.eax = WithField(entry.eax, 26, 6, ids - 1);
}

// The leaves 0xb and 0x1f: threads (one a core), cores, the end.
void AppendTopology(uint32_t function, const CpuidPolicy& policy, uint32_t apic_id,
                    std::vector<kvm_cpuid_entry2>& entries) {
  constexpr uint32_t kThreadLevel = 1;
  constexpr uint32_t kCoreLevel = 2;
  const auto append = [&](uint32_t index, uint32_t shift, uint32_t count, uint32_t type) {
    kvm_cpuid_entry2 entry = {};
    entry.function = function;
    entry.index = index;
    entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    entry.eax = shift;
    entry.ebx = count;
    entry.ecx = index | type << 8;
    entry.edx = apic_id;
    entries.push_back(entry);
  };
  append(0, 0, 1, kThreadLevel);
  append(1, CoreBits(policy.cpus), policy.cpus, kCoreLevel);
  append(2, 0, 0, 0);
}

void SetAmdTopology(const CpuidPolicy& policy, uint32_t apic_id, kvm_cpuid_entry2& entry) {
  if (entry.function == 0x80000008) {
    entry.ecx = WithField(entry.ecx, 0, 8, policy.cpus - 1);
    entry.ecx = WithField(entry.ecx, 12, 4, CoreBits(policy.cpus));
  } else if (entry.function == 0x8000001e) {
    entry.eax = apic_id;
    entry.ebx = apic_id;  // The core; one thread each.
    entry.ecx = 0;        // Node 0, of one.
  } else if (entry.function == 0x8000001d && (entry.eax & 0x1f) != 0) {
    const bool is_shared = (entry.eax >> 5 & 7) >= 3;
    entry.eax = WithField(entry.eax, 14, 12, is_shared ? policy.cpus - 1 : 0);
  }
}

void Adapt(const CpuidPolicy& policy, uint32_t apic_id, kvm_cpuid_entry2& entry) {
  constexpr uint32_t kSvm = Bit(2);
  constexpr uint32_t kCounters = Bit(23) | Bit(24) | Bit(28);  // Of core, north bridge, cache.
  switch (entry.function) {
    case 1:
      SetBasicFeatures(policy, apic_id, entry);
      break;
    case 4:
      SetCacheSharing(policy, entry);
      break;
    case 0xa:         // Performance counters.
    case 0x8000000a:  // SVM's own.
    case 0x80000022:  // Performance counters.
      entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
      break;
    case 0x80000001:
      entry.ecx &= ~(kSvm | kCounters);
      break;
    default:
      SetAmdTopology(policy, apic_id, entry);
  }
}

void Hide(const CpuFeature& feature, std::vector<kvm_cpuid_entry2>& entries) {
  for (kvm_cpuid_entry2& entry : entries) {
    if (entry.function != feature.function || entry.index != feature.index) continue;
    RegisterOf(entry, feature.reg) &= ~(Bit(feature.bit) | feature.others);
  }
}

}  // namespace

std::vector<kvm_cpuid_entry2> CpuidOf(const std::vector<kvm_cpuid_entry2>& supported,
                                      const CpuidPolicy& policy, uint32_t apic_id) {
  std::vector<kvm_cpuid_entry2> entries;
  for (kvm_cpuid_entry2 entry : supported) {
    if (IsTopologyLeaf(entry)) {
      if (entry.index == 0) AppendTopology(entry.function, policy, apic_id, entries);
      continue;
    }
    Adapt(policy, apic_id, entry);
    entries.push_back(entry);
  }
  for (const CpuFeature& feature : policy.hidden) Hide(feature, entries);
  return entries;
}

}  // namespace vmwire
