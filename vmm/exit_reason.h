// Names and counts of KVM's exit reasons (kvm_run.exit_reason; api.rst, section 5).
//
// Invariants: every reason of the kernel's header, and those that are known to be newer, has a
// name; any other has its number.
//
// Thread safety: values.
#ifndef VMWIRE_VMM_EXIT_REASON_H_
#define VMWIRE_VMM_EXIT_REASON_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace vmwire {

// Reasons below this are counted by number, all others together.
inline constexpr size_t kCountedExitReasons = 64;

// "KVM_EXIT_HLT"; "KVM exit reason 99" for a number that nobody knew when this was written.
std::string ExitReasonName(uint32_t reason);

// "emulation" for KVM_INTERNAL_ERROR_EMULATION, and so on; its number if unknown.
std::string InternalErrorName(uint32_t suberror);

// How often each reason came.
class ExitCounts {
 public:
  void Add(uint32_t reason) {
    ++counts_[reason < kCountedExitReasons ? reason : kCountedExitReasons];
  }
  void Add(const ExitCounts& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  }
  // Of one reason; of all at or above kCountedExitReasons together if it is one of those.
  uint64_t of(uint32_t reason) const {
    return counts_[reason < kCountedExitReasons ? reason : kCountedExitReasons];
  }
  uint64_t total() const;

 private:
  std::array<uint64_t, kCountedExitReasons + 1> counts_ = {};
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_EXIT_REASON_H_
