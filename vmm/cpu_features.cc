#include "vmm/cpu_features.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "absl/strings/str_join.h"

namespace vmwire {
namespace {

using enum CpuidRegister;

constexpr uint32_t kExtended = 0x80000001;
constexpr uint32_t kKvm = 0x40000001;

// KVM_FEATURE_*: the clock at the MSRs that it first had, and its promise of being the same on all
// CPUs.
constexpr uint32_t kOldClock = 1 << 0;
constexpr uint32_t kStableClock = 1 << 24;
// Asynchronous page faults as exits to a nested hypervisor, and by an interrupt. Linux asks for
// the latter alone.
constexpr uint32_t kAsyncPfToL1 = 1 << 10;
constexpr uint32_t kAsyncPfInterrupt = 1 << 14;

constexpr std::array kFeatures = {
    CpuFeature{"tsc", 1, 0, kEdx, 4},
    CpuFeature{"pae", 1, 0, kEdx, 6},
    CpuFeature{"cx8", 1, 0, kEdx, 8},
    CpuFeature{"mtrr", 1, 0, kEdx, 12},
    CpuFeature{"pge", 1, 0, kEdx, 13},
    CpuFeature{"cmov", 1, 0, kEdx, 15},
    CpuFeature{"pat", 1, 0, kEdx, 16},
    CpuFeature{"clflush", 1, 0, kEdx, 19},
    CpuFeature{"mmx", 1, 0, kEdx, 23},
    CpuFeature{"fxsr", 1, 0, kEdx, 24},
    CpuFeature{"sse", 1, 0, kEdx, 25},
    CpuFeature{"sse2", 1, 0, kEdx, 26},
    CpuFeature{"pni", 1, 0, kEcx, 0},
    CpuFeature{"pclmulqdq", 1, 0, kEcx, 1},
    CpuFeature{"ssse3", 1, 0, kEcx, 9},
    CpuFeature{"fma", 1, 0, kEcx, 12},
    CpuFeature{"cx16", 1, 0, kEcx, 13},
    CpuFeature{"pcid", 1, 0, kEcx, 17},
    CpuFeature{"sse4_1", 1, 0, kEcx, 19},
    CpuFeature{"sse4_2", 1, 0, kEcx, 20},
    CpuFeature{"x2apic", 1, 0, kEcx, 21},
    CpuFeature{"movbe", 1, 0, kEcx, 22},
    CpuFeature{"popcnt", 1, 0, kEcx, 23},
    CpuFeature{"tsc_deadline_timer", 1, 0, kEcx, 24},
    CpuFeature{"aes", 1, 0, kEcx, 25},
    CpuFeature{"xsave", 1, 0, kEcx, 26},
    CpuFeature{"avx", 1, 0, kEcx, 28},
    CpuFeature{"f16c", 1, 0, kEcx, 29},
    CpuFeature{"rdrand", 1, 0, kEcx, 30},
    CpuFeature{"hypervisor", 1, 0, kEcx, 31},
    CpuFeature{"arat", 6, 0, kEax, 2},
    CpuFeature{"fsgsbase", 7, 0, kEbx, 0},
    CpuFeature{"tsc_adjust", 7, 0, kEbx, 1},
    CpuFeature{"bmi1", 7, 0, kEbx, 3},
    CpuFeature{"hle", 7, 0, kEbx, 4},
    CpuFeature{"avx2", 7, 0, kEbx, 5},
    CpuFeature{"smep", 7, 0, kEbx, 7},
    CpuFeature{"bmi2", 7, 0, kEbx, 8},
    CpuFeature{"erms", 7, 0, kEbx, 9},
    CpuFeature{"invpcid", 7, 0, kEbx, 10},
    CpuFeature{"rtm", 7, 0, kEbx, 11},
    CpuFeature{"avx512f", 7, 0, kEbx, 16},
    CpuFeature{"rdseed", 7, 0, kEbx, 18},
    CpuFeature{"adx", 7, 0, kEbx, 19},
    CpuFeature{"smap", 7, 0, kEbx, 20},
    CpuFeature{"clflushopt", 7, 0, kEbx, 23},
    CpuFeature{"clwb", 7, 0, kEbx, 24},
    CpuFeature{"sha_ni", 7, 0, kEbx, 29},
    CpuFeature{"umip", 7, 0, kEcx, 2},
    CpuFeature{"pku", 7, 0, kEcx, 3},
    CpuFeature{"la57", 7, 0, kEcx, 16},
    CpuFeature{"rdpid", 7, 0, kEcx, 22},
    CpuFeature{"fsrm", 7, 0, kEdx, 4},
    CpuFeature{"spec_ctrl", 7, 0, kEdx, 26},
    CpuFeature{"arch_capabilities", 7, 0, kEdx, 29},
    CpuFeature{"xsaveopt", 0xd, 1, kEax, 0},
    CpuFeature{"xsavec", 0xd, 1, kEax, 1},
    CpuFeature{"xsaves", 0xd, 1, kEax, 3},
    CpuFeature{"lahf_lm", kExtended, 0, kEcx, 0},
    CpuFeature{"abm", kExtended, 0, kEcx, 5},
    CpuFeature{"sse4a", kExtended, 0, kEcx, 6},
    CpuFeature{"topoext", kExtended, 0, kEcx, 22},
    CpuFeature{"syscall", kExtended, 0, kEdx, 11},
    CpuFeature{"nx", kExtended, 0, kEdx, 20},
    CpuFeature{"pdpe1gb", kExtended, 0, kEdx, 26},
    CpuFeature{"rdtscp", kExtended, 0, kEdx, 27},
    CpuFeature{"constant_tsc", 0x80000007, 0, kEdx, 8},
    CpuFeature{"clzero", 0x80000008, 0, kEbx, 0},
    CpuFeature{"rdpru", 0x80000008, 0, kEbx, 4},
    CpuFeature{"wbnoinvd", 0x80000008, 0, kEbx, 9},
    // Names of our own for what KVM offers a guest (Documentation/virt/kvm/x86/cpuid.rst).
    CpuFeature{"kvmclock", kKvm, 0, kEax, 3, kOldClock | kStableClock},
    CpuFeature{"kvm_asyncpf", kKvm, 0, kEax, 4, kAsyncPfToL1 | kAsyncPfInterrupt},
    CpuFeature{"kvm_steal_time", kKvm, 0, kEax, 5},
    CpuFeature{"kvm_pv_eoi", kKvm, 0, kEax, 6},
    CpuFeature{"kvm_pv_unhalt", kKvm, 0, kEax, 7},
    CpuFeature{"kvm_pv_ipi", kKvm, 0, kEax, 11},
};

}  // namespace

absl::StatusOr<CpuFeature> FindCpuFeature(const std::string& name) {
  const auto found = std::find_if(kFeatures.begin(), kFeatures.end(),
                                  [&](const CpuFeature& feature) { return name == feature.name; });
  if (found != kFeatures.end()) return *found;
  return absl::InvalidArgumentError("no CPU feature is named \"" + name +
                                    "\"; there are: " + absl::StrJoin(CpuFeatureNames(), " "));
}

std::vector<std::string> CpuFeatureNames() {
  std::vector<std::string> names;
  std::transform(kFeatures.begin(), kFeatures.end(), std::back_inserter(names),
                 [](const CpuFeature& feature) { return feature.name; });
  return names;
}

}  // namespace vmwire
