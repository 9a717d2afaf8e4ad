#include "vmm/emulation/decoded_instruction.h"

#include <array>

#include "absl/status/status.h"
#include "vmm/cpu_mode.h"

namespace vmwire {
namespace {

// Bits of a segment's type (Intel SDM volume 3, 3.4.5.1).
constexpr uint8_t kTypeWritable = 1 << 1;    // Of a data segment.
constexpr uint8_t kTypeReadable = 1 << 1;    // Of a code segment.
constexpr uint8_t kTypeExpandDown = 1 << 2;  // Of a data segment.
constexpr uint8_t kTypeCode = 1 << 3;

constexpr uint64_t LowBits(unsigned bits) {
  return bits >= 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
}

// kvm_regs has the registers in another order than the instructions' encoding.
constexpr std::array<__u64 kvm_regs::*, 16> kRegisters = {
    &kvm_regs::rax, &kvm_regs::rcx, &kvm_regs::rdx, &kvm_regs::rbx, &kvm_regs::rsp, &kvm_regs::rbp,
    &kvm_regs::rsi, &kvm_regs::rdi, &kvm_regs::r8,  &kvm_regs::r9,  &kvm_regs::r10, &kvm_regs::r11,
    &kvm_regs::r12, &kvm_regs::r13, &kvm_regs::r14, &kvm_regs::r15};

unsigned BitsOf(ZydisRegister name) {
  return ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, name);
}

const kvm_segment& SegmentOf(const kvm_sregs& sregs, ZydisRegister name) {
  switch (name) {
    case ZYDIS_REGISTER_CS:
      return sregs.cs;
    case ZYDIS_REGISTER_ES:
      return sregs.es;
    case ZYDIS_REGISTER_FS:
      return sregs.fs;
    case ZYDIS_REGISTER_GS:
      return sregs.gs;
    case ZYDIS_REGISTER_SS:
      return sregs.ss;
    default:
      return sregs.ds;
  }
}

GuestException OutsideOf(ZydisRegister segment) {
  return {.vector = segment == ZYDIS_REGISTER_SS ? exception_vector::kStackFault
                                                 : exception_vector::kGeneralProtection,
          .error_code = 0};
}

bool IsCanonical(uint64_t linear, const kvm_sregs& sregs) {
  const int unused = (sregs.cr4 & cpu_bits::kCr4FiveLevelPaging) != 0 ? 7 : 16;
  return static_cast<uint64_t>(static_cast<int64_t>(linear << unused) >> unused) == linear;
}

// Real and virtual-8086 mode use segments whatever their type says.
bool HasSegmentRights(const EmulatedCpu& cpu) {
  return (cpu.sregs.cr0 & cpu_bits::kCr0ProtectionEnable) != 0 &&
         (cpu.regs.rflags & cpu_bits::kFlagsVirtual8086) == 0;
}

bool Allows(const kvm_segment& segment, bool write) {
  const bool is_code = (segment.type & kTypeCode) != 0;
  if (write) return !is_code && (segment.type & kTypeWritable) != 0;
  return !is_code || (segment.type & kTypeReadable) != 0;
}

StepResult CheckSegment(const EmulatedCpu& cpu, ZydisRegister name, uint64_t offset, uint64_t size,
                        bool write) {
  const kvm_segment& segment = SegmentOf(cpu.sregs, name);
  if (segment.unusable != 0 || segment.present == 0) return OutsideOf(name);
  if (HasSegmentRights(cpu) && !Allows(segment, write)) {
    return GuestException{.vector = exception_vector::kGeneralProtection, .error_code = 0};
  }
  if ((segment.type & kTypeCode) == 0 && (segment.type & kTypeExpandDown) != 0) {
    return absl::UnimplementedError("the instruction uses a segment that grows down");
  }
  if (offset + size - 1 > segment.limit) return OutsideOf(name);
  return std::nullopt;
}

}  // namespace

std::optional<DecodedInstruction> DecodeInstruction(std::span<const std::byte> code,
                                                    CodeWidth width) {
  ZydisDecoder decoder;
  ZyanStatus status = ZYAN_STATUS_SUCCESS;
  switch (width) {
    case CodeWidth::k16:
      status = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
      break;
    case CodeWidth::k32:
      status = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
      break;
    case CodeWidth::k64:
      status = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
      break;
  }
  DecodedInstruction decoded;
  if (!ZYAN_SUCCESS(status)) return std::nullopt;
  status = ZydisDecoderDecodeFull(&decoder, code.data(), code.size(), &decoded.instruction,
                                  decoded.operands);
  if (!ZYAN_SUCCESS(status)) return std::nullopt;
  return decoded;
}

uint64_t RegisterValue(const kvm_regs& regs, ZydisRegister name, uint64_t next_rip) {
  if (name == ZYDIS_REGISTER_NONE) return 0;
  const uint64_t mask = LowBits(BitsOf(name));
  if (ZydisRegisterGetClass(name) == ZYDIS_REGCLASS_IP) return next_rip & mask;
  return regs.*kRegisters[static_cast<size_t>(ZydisRegisterGetId(name))] & mask;
}

void SetRegister(kvm_regs& regs, ZydisRegister name, uint64_t value) {
  auto& reg = regs.*kRegisters[static_cast<size_t>(ZydisRegisterGetId(name))];
  reg = BitsOf(name) == 16 ? (reg & ~uint64_t{0xffff}) | (value & 0xffff)
                           : value & LowBits(BitsOf(name));
}

StepResult LinearAddressOf(const DecodedInstruction& decoded, const ZydisDecodedOperand& operand,
                           const EmulatedCpu& cpu, uint64_t& linear) {
  const auto& memory = operand.mem;
  const uint64_t next_rip = cpu.regs.rip + decoded.instruction.length;
  uint64_t offset = RegisterValue(cpu.regs, memory.base, next_rip) +
                    RegisterValue(cpu.regs, memory.index, next_rip) * memory.scale;
  if (memory.disp.has_displacement) offset += static_cast<uint64_t>(memory.disp.value);
  offset &= LowBits(decoded.instruction.address_width);

  const kvm_segment& segment = SegmentOf(cpu.sregs, memory.segment);
  const uint64_t size = operand.size / 8;
  if (CodeWidthOf(cpu.sregs) != CodeWidth::k64) {
    linear = (segment.base + offset) & UINT32_MAX;
    const bool write = (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    return CheckSegment(cpu, memory.segment, offset, size, write);
  }
  const bool has_base = memory.segment == ZYDIS_REGISTER_FS || memory.segment == ZYDIS_REGISTER_GS;
  linear = offset + (has_base ? segment.base : 0);
  if (!IsCanonical(linear, cpu.sregs) || !IsCanonical(linear + size - 1, cpu.sregs)) {
    return OutsideOf(memory.segment);
  }
  return std::nullopt;
}

}  // namespace vmwire
