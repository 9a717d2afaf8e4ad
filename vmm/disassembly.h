// The first instruction of some bytes, as text.
//
// Invariants: the bytes are a guest's: whatever they are, this ends and says something.
// Thread safety: no state.
#ifndef VMWIRE_VMM_DISASSEMBLY_H_
#define VMWIRE_VMM_DISASSEMBLY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vmwire {

// An x86 instruction has at most 15 bytes (Intel SDM volume 2, 2.3.11).
inline constexpr size_t kMaxInstructionSize = 15;

// The default operand and address size of the code segment, in bits.
enum class CodeWidth : uint8_t { k16 = 16, k32 = 32, k64 = 64 };

// Intel syntax; `address` is where the bytes lie, for the targets of jumps. "(no valid
// instruction)" if they are none, or if the instruction goes on past their end.
std::string Disassemble(std::span<const std::byte> code, uint64_t address, CodeWidth width);

}  // namespace vmwire

#endif  // VMWIRE_VMM_DISASSEMBLY_H_
