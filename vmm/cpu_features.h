// The features of a CPU by the names that /proc/cpuinfo gives them, and where CPUID says that they
// are there (Intel SDM volume 2, CPUID; AMD64 manual volume 3, appendix E).
//
// Invariants: names are unique.
// Thread safety: no state.
#ifndef VMWIRE_VMM_CPU_FEATURES_H_
#define VMWIRE_VMM_CPU_FEATURES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace vmwire {

enum class CpuidRegister { kEax, kEbx, kEcx, kEdx };

struct CpuFeature {
  const char* name;
  uint32_t function;
  uint32_t index;  // Of a function that has several.
  CpuidRegister reg;
  uint32_t bit;
  // A mask of further bits of the register by which a guest would use it all the same.
  uint32_t others = 0;
};

// InvalidArgument, with some names that there are: no feature has that name.
absl::StatusOr<CpuFeature> FindCpuFeature(const std::string& name);

std::vector<std::string> CpuFeatureNames();

}  // namespace vmwire

#endif  // VMWIRE_VMM_CPU_FEATURES_H_
