// Guest memory through the page tables of one CPU, with the rights of its current privilege level.
//
// KVM_TRANSLATE answers every page with "writable"; so the tables are walked here (page_walk.h).
// Accessed and dirty flags stay as they are; reserved bits and protection keys are not checked.
//
// Invariants: none of its own.
// Thread safety: one thread; other CPUs may change memory and tables meanwhile.
#ifndef VMWIRE_VMM_EMULATION_GUEST_LINEAR_MEMORY_H_
#define VMWIRE_VMM_EMULATION_GUEST_LINEAR_MEMORY_H_

#include <vector>

#include "memory/guest_memory.h"
#include "vmm/emulation/linear_memory.h"

namespace vmwire {

class GuestLinearMemory final : public LinearMemory {
 public:
  // REQUIRES: both outlive this object.
  GuestLinearMemory(const GuestMemory& memory, const EmulatedCpu& cpu)
      : memory_(memory), cpu_(cpu) {}

  // Unavailable: where no memory is, or none that may be written.
  StepResult Read(uint64_t linear, std::span<std::byte> out, Accessor accessor) override;
  StepResult Write(uint64_t linear, std::span<const std::byte> in) override;
  StepResult CompareExchange(uint64_t linear, DoubleQuadword& expected,
                             const DoubleQuadword& desired) override;

 private:
  enum class Kind { kRead, kWrite };
  // A part of an access within a page.
  struct Piece {
    GuestAddress address;
    size_t size;
  };

  // Where the pieces of an access lie, once each of them is allowed.
  StepResult Resolve(uint64_t linear, size_t size, Kind kind, Accessor accessor,
                     std::vector<Piece>& pieces) const;
  StepResult ResolvePage(uint64_t linear, Kind kind, Accessor accessor, uint64_t& physical) const;

  const GuestMemory& memory_;
  const EmulatedCpu& cpu_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_EMULATION_GUEST_LINEAR_MEMORY_H_
