// What the monitor says when a guest ran into an exception that nothing in the guest handles.
//
// Invariants: guest registers and memory are hostile; whatever they hold, this ends, and says what
// it found.
// Thread safety: no state; the guest may change its memory meanwhile.
#ifndef VMWIRE_VMM_BOOT_EXCEPTION_REPORT_H_
#define VMWIRE_VMM_BOOT_EXCEPTION_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "memory/guest_memory.h"
#include "vmm/boot/exception_stubs.h"
#include "vmm/kvm_abi.h"

namespace vmwire {

// "#UD", "#PF", ...; "exception" for a vector that has no name.
std::string ExceptionName(uint32_t vector);

struct ExceptionReport {
  uint32_t vector = 0;
  // Where the exception was raised, and on what stack. Nullopt: there is no frame to read, because
  // the guest wrote to the port itself, or its stack is not in its memory.
  std::optional<ExceptionFrame> frame;
  uint64_t cr2 = 0;  // The address of a page fault; stale for other vectors.

  // One sentence without a full stop, as "guest exception #PF (vector 14, error 0x6) at RIP
  // 0x100010, address 0x7f0000001234, CS 0x23, RSP 0x102000".
  std::string ToString() const;
};

// Makes the report of a write of `vector` to kExceptionPort, while the vCPU has `registers` and
// `sregs`. The frame is taken to be at RSP, identity-mapped, if the vCPU is in the stubs at CPL 0.
ExceptionReport ReadExceptionReport(uint32_t vector, const kvm_regs& registers,
                                    const kvm_sregs& sregs, const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_EXCEPTION_REPORT_H_
