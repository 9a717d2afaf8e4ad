// One decoded instruction and its operands, with what completing it needs of the decoder.
//
// Only .cc files of this folder include it: the decoder is a private matter of vmm/.
//
// Invariants: none.
// Thread safety: values.
#ifndef VMWIRE_VMM_EMULATION_DECODED_INSTRUCTION_H_
#define VMWIRE_VMM_EMULATION_DECODED_INSTRUCTION_H_

#include <Zydis/Zydis.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "vmm/disassembly.h"
#include "vmm/emulation/emulated_cpu.h"

namespace vmwire {

struct DecodedInstruction {
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

// The first instruction of `code`; nullopt if the bytes are none.
std::optional<DecodedInstruction> DecodeInstruction(std::span<const std::byte> code,
                                                    CodeWidth width);

// The value of a general register of 16, 32 or 64 bits, or of the instruction pointer, which is
// that of the next instruction; 0 for ZYDIS_REGISTER_NONE.
uint64_t RegisterValue(const kvm_regs& regs, ZydisRegister name, uint64_t next_rip);

// Writes a general register: 16 bits leave the rest of it, 32 bits clear it (Intel SDM volume 1,
// 3.4.1.1).
void SetRegister(kvm_regs& regs, ZydisRegister name, uint64_t value);

// The linear address of a memory operand (Intel SDM volume 1, 3.7.5). An exception: what lies
// outside its segment, is not canonical, or is accessed as the segment's type forbids (Intel SDM
// volume 3, 5.4). Unimplemented: a segment that grows down.
absl::StatusOr<std::optional<GuestException>> LinearAddressOf(const DecodedInstruction& decoded,
                                                              const ZydisDecodedOperand& operand,
                                                              const EmulatedCpu& cpu,
                                                              uint64_t& linear);

}  // namespace vmwire

#endif  // VMWIRE_VMM_EMULATION_DECODED_INSTRUCTION_H_
