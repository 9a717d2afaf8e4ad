// What instructions that are done outside KVM work on, and what comes of them.
//
// Invariants: none.
// Thread safety: values.
#ifndef VMWIRE_VMM_EMULATION_EMULATED_CPU_H_
#define VMWIRE_VMM_EMULATION_EMULATED_CPU_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "vmm/kvm_abi.h"

namespace vmwire {

struct EmulatedCpu {
  kvm_regs regs;
  kvm_sregs sregs;
  std::optional<uint64_t> xcr0 = std::nullopt;  // Nullopt: this KVM does not say.
};

// Vectors of exceptions (Intel SDM volume 3, table 6-1).
namespace exception_vector {
inline constexpr uint8_t kInvalidOpcode = 6;
inline constexpr uint8_t kNotPresent = 11;
inline constexpr uint8_t kStackFault = 12;
inline constexpr uint8_t kGeneralProtection = 13;
inline constexpr uint8_t kPageFault = 14;
}  // namespace exception_vector

// A fault that an instruction raises: RIP stays at the instruction.
struct GuestException {
  uint8_t vector = 0;
  std::optional<uint32_t> error_code = std::nullopt;
  uint64_t address = 0;  // CR2 of a page fault.

  friend bool operator==(const GuestException&, const GuestException&) = default;
};

// How an access or a check went: nullopt, it is done; an exception, the guest gets that; a status,
// it cannot be done here.
using StepResult = absl::StatusOr<std::optional<GuestException>>;

struct EmulationEffect {
  std::string mnemonic;
  // After the instruction; of one that faulted as before it, with RFLAGS.RF set.
  kvm_regs regs;
  std::optional<GuestException> exception = std::nullopt;
  // The vector of the software interrupt that is to be delivered next, from `regs`.
  std::optional<uint8_t> interrupt = std::nullopt;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_EMULATION_EMULATED_CPU_H_
