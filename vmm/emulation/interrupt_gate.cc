#include "vmm/emulation/interrupt_gate.h"

#include <array>

#include "absl/status/status.h"
#include "memory/status_macros.h"
#include "vmm/cpu_mode.h"

namespace vmwire {
namespace {

// Byte 5 of a gate (Intel SDM volume 3, 6.11 and 6.14.1).
constexpr uint8_t kTypeMask = 0x1f;  // S with it, which must be 0.
constexpr uint8_t kTaskGate = 0x05;
constexpr uint8_t kInterruptGate16 = 0x06;
constexpr uint8_t kTrapGate16 = 0x07;
constexpr uint8_t kInterruptGate = 0x0e;
constexpr uint8_t kTrapGate = 0x0f;
constexpr uint8_t kPresent = 0x80;

bool TakesInterrupts(uint8_t type, bool long_mode) {
  if (type == kInterruptGate || type == kTrapGate) return true;
  return !long_mode && (type == kInterruptGate16 || type == kTrapGate16);
}

}  // namespace

StepResult CheckInterruptGate(uint8_t vector, const EmulatedCpu& cpu, LinearMemory& memory) {
  if ((cpu.sregs.cr0 & cpu_bits::kCr0ProtectionEnable) == 0) return std::nullopt;
  if ((cpu.regs.rflags & cpu_bits::kFlagsVirtual8086) != 0) {
    return absl::UnimplementedError("INT in virtual-8086 mode is not completed");
  }
  const bool long_mode = (cpu.sregs.efer & cpu_bits::kEferLongModeActive) != 0;
  const uint64_t size = long_mode ? 16 : 8;
  // The vector, in the IDT.
  const auto error = static_cast<uint32_t>(vector * 8 + 2);
  const GuestException refused{.vector = exception_vector::kGeneralProtection, .error_code = error};
  if (vector * size + size - 1 > cpu.sregs.idt.limit) return refused;

  std::array<std::byte, 8> gate;
  VMWIRE_ASSIGN_OR_RETURN(
      const std::optional<GuestException> fault,
      memory.Read(cpu.sregs.idt.base + vector * size, gate, Accessor::kProcessor));
  if (fault.has_value()) return fault;
  const auto access = std::to_integer<uint8_t>(gate[5]);
  const uint8_t type = access & kTypeMask;
  const uint32_t privilege = access >> 5 & 3;
  if (type == kTaskGate && !long_mode) {
    return absl::UnimplementedError("INT through a task gate is not completed");
  }
  if (!TakesInterrupts(type, long_mode) || privilege < PrivilegeOf(cpu.sregs)) return refused;
  if ((access & kPresent) == 0) {
    return GuestException{.vector = exception_vector::kNotPresent, .error_code = error};
  }
  return std::nullopt;
}

}  // namespace vmwire
