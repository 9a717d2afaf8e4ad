#include "vmm/emulation/complete_instruction.h"

#include <array>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "memory/status_macros.h"
#include "vmm/cpu_mode.h"
#include "vmm/emulation/decoded_instruction.h"
#include "vmm/emulation/interrupt_gate.h"

namespace vmwire {
namespace {

constexpr uint8_t kBreakpointVector = 3;

constexpr GuestException kInvalidOpcode{.vector = exception_vector::kInvalidOpcode};
constexpr GuestException kProtectionFault{.vector = exception_vector::kGeneralProtection,
                                          .error_code = 0};

uint64_t ReverseBytes(uint64_t value, uint16_t bits) {
  return __builtin_bswap64(value) >> (64 - bits);
}

// One instruction under way: each function does one kind, and changes `effect` only.
struct Execution {
  const EmulatedCpu& cpu;
  const DecodedInstruction& decoded;
  LinearMemory& memory;
  EmulationEffect& effect;

  StepResult Interrupt(uint8_t vector);
  StepResult ReadXcr();
  StepResult SetAlignmentCheck(bool value);
  StepResult CompareExchange16();
  StepResult MoveReversed();
  StepResult LoadReversed(const ZydisDecodedOperand& to, const ZydisDecodedOperand& from);
  StepResult StoreReversed(const ZydisDecodedOperand& to, const ZydisDecodedOperand& from);
  StepResult Run();
};

StepResult Execution::Interrupt(uint8_t vector) {
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> refused,
                          CheckInterruptGate(vector, cpu, memory));
  if (refused.has_value()) return refused;
  effect.interrupt = vector;
  return std::nullopt;
}

// XCR1 is XCR0 and what of it is in use; a CPU may say so of all of it (Intel SDM volume 1, 13.6).
StepResult Execution::ReadXcr() {
  if ((cpu.sregs.cr4 & cpu_bits::kCr4OsXsave) == 0) return kInvalidOpcode;
  if (static_cast<uint32_t>(cpu.regs.rcx) > 1) return kProtectionFault;
  if (!cpu.xcr0.has_value()) {
    return absl::UnimplementedError("this KVM does not say what XCR0 is (KVM_CAP_XCRS)");
  }
  effect.regs.rax = *cpu.xcr0 & UINT32_MAX;
  effect.regs.rdx = *cpu.xcr0 >> 32;
  return std::nullopt;
}

StepResult Execution::SetAlignmentCheck(bool value) {
  if (PrivilegeOf(cpu.sregs) != 0) return kInvalidOpcode;
  effect.regs.rflags &= ~cpu_bits::kFlagsAlignmentCheck;
  if (value) effect.regs.rflags |= cpu_bits::kFlagsAlignmentCheck;
  return std::nullopt;
}

StepResult Execution::CompareExchange16() {
  uint64_t linear = 0;
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> outside,
                          LinearAddressOf(decoded, decoded.operands[0], cpu, linear));
  if (outside.has_value()) return outside;
  if (linear % sizeof(DoubleQuadword) != 0) return kProtectionFault;
  DoubleQuadword found = {cpu.regs.rax, cpu.regs.rdx};
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> fault,
                          memory.CompareExchange(linear, found, {cpu.regs.rbx, cpu.regs.rcx}));
  if (fault.has_value()) return fault;
  const bool equal = found == DoubleQuadword{cpu.regs.rax, cpu.regs.rdx};
  effect.regs.rflags =
      equal ? cpu.regs.rflags | cpu_bits::kFlagsZero : cpu.regs.rflags & ~cpu_bits::kFlagsZero;
  effect.regs.rax = found[0];
  effect.regs.rdx = found[1];
  return std::nullopt;
}

StepResult Execution::LoadReversed(const ZydisDecodedOperand& to, const ZydisDecodedOperand& from) {
  uint64_t linear = 0;
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> outside,
                          LinearAddressOf(decoded, from, cpu, linear));
  if (outside.has_value()) return outside;
  std::array<std::byte, sizeof(uint64_t)> bytes = {};
  VMWIRE_ASSIGN_OR_RETURN(
      const std::optional<GuestException> fault,
      memory.Read(linear, std::span(bytes).first(from.size / 8u), Accessor::kInstruction));
  if (fault.has_value()) return fault;
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  SetRegister(effect.regs, to.reg.value, ReverseBytes(value, from.size));
  return std::nullopt;
}

StepResult Execution::StoreReversed(const ZydisDecodedOperand& to,
                                    const ZydisDecodedOperand& from) {
  uint64_t linear = 0;
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<GuestException> outside,
                          LinearAddressOf(decoded, to, cpu, linear));
  if (outside.has_value()) return outside;
  const uint64_t value = ReverseBytes(RegisterValue(cpu.regs, from.reg.value, 0), to.size);
  std::array<std::byte, sizeof(value)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(value));
  return memory.Write(linear, std::span<const std::byte>(bytes).first(to.size / 8u));
}

StepResult Execution::MoveReversed() {
  const ZydisDecodedOperand& to = decoded.operands[0];
  const ZydisDecodedOperand& from = decoded.operands[1];
  return from.type == ZYDIS_OPERAND_TYPE_MEMORY ? LoadReversed(to, from) : StoreReversed(to, from);
}

StepResult Execution::Run() {
  switch (decoded.instruction.mnemonic) {
    case ZYDIS_MNEMONIC_INT3:
      return Interrupt(kBreakpointVector);
    case ZYDIS_MNEMONIC_INT:
      return Interrupt(static_cast<uint8_t>(decoded.operands[0].imm.value.u));
    case ZYDIS_MNEMONIC_XGETBV:
      return ReadXcr();
    case ZYDIS_MNEMONIC_CLAC:
      return SetAlignmentCheck(false);
    case ZYDIS_MNEMONIC_STAC:
      return SetAlignmentCheck(true);
    case ZYDIS_MNEMONIC_CMPXCHG16B:
      return CompareExchange16();
    case ZYDIS_MNEMONIC_MOVBE:
      return MoveReversed();
    default:
      return absl::UnimplementedError(effect.mnemonic + " is not completed outside KVM");
  }
}

uint64_t NextRip(const EmulatedCpu& cpu, uint8_t length) {
  const uint64_t next = cpu.regs.rip + length;
  switch (CodeWidthOf(cpu.sregs)) {
    case CodeWidth::k16:
      return next & UINT16_MAX;
    case CodeWidth::k32:
      return next & UINT32_MAX;
    case CodeWidth::k64:
      break;
  }
  return next;
}

}  // namespace

absl::StatusOr<EmulationEffect> CompleteInstruction(const EmulatedCpu& cpu,
                                                    std::span<const std::byte> code,
                                                    LinearMemory& memory) {
  const std::optional<DecodedInstruction> decoded = DecodeInstruction(code, CodeWidthOf(cpu.sregs));
  if (!decoded.has_value()) return absl::UnimplementedError("the bytes are no instruction");
  EmulationEffect effect{.mnemonic = ZydisMnemonicGetString(decoded->instruction.mnemonic),
                         .regs = cpu.regs};
  VMWIRE_ASSIGN_OR_RETURN(effect.exception, (Execution{cpu, *decoded, memory, effect}.Run()));
  if (effect.exception.has_value()) {
    // What a fault pushes has RF set, so that a breakpoint there does not hit again (Intel SDM
    // volume 3, 17.3.1.1); KVM takes it from here.
    effect.regs.rflags |= cpu_bits::kFlagsResume;
    return effect;
  }
  effect.regs.rip = NextRip(cpu, decoded->instruction.length);
  effect.regs.rflags &= ~cpu_bits::kFlagsResume;
  return effect;
}

}  // namespace vmwire
