// Memory by linear addresses, as an instruction sees it: the interface that instructions are
// completed against.
//
// Invariants: an access that does not end with nullopt has changed nothing.
// Thread safety: of the implementation.
#ifndef VMWIRE_VMM_EMULATION_LINEAR_MEMORY_H_
#define VMWIRE_VMM_EMULATION_LINEAR_MEMORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/emulation/emulated_cpu.h"

namespace vmwire {

// Who asks: the instruction itself, or the CPU for it, which has the rights of ring 0 to its tables
// whatever the instruction has.
enum class Accessor { kInstruction, kProcessor };

// The lower half first.
using DoubleQuadword = std::array<uint64_t, 2>;

class LinearMemory {
 public:
  virtual ~LinearMemory() = default;

  // Accesses may cross pages. An exception is a page fault with the error code of the access, its
  // address the first byte that is not there or not allowed. A status: the bytes are no memory.
  virtual StepResult Read(uint64_t linear, std::span<std::byte> out, Accessor accessor) = 0;
  virtual StepResult Write(uint64_t linear, std::span<const std::byte> in) = 0;

  // Compares the 16 bytes at `linear` with `expected`, in one step with the write of `desired` if
  // they are equal, as other CPUs see it; else `expected` becomes what is there. A write, either
  // way. REQUIRES: `linear` is a multiple of 16.
  virtual StepResult CompareExchange(uint64_t linear, DoubleQuadword& expected,
                                     const DoubleQuadword& desired) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_EMULATION_LINEAR_MEMORY_H_
