// The code that runs in the guest, at CPL 0, when an exception is raised and the guest has not
// brought an IDT of its own: it tells the monitor and stops.
//
// The stub of a vector pushes an error code of 0 if the CPU has pushed none, then RAX and RDX, and
// writes the vector to kExceptionPort. Should the monitor go on, it halts. The instructions are few
// on purpose: a KVM without VMX and SVM emulates them.
//
// Invariants: ExceptionFrame is what lies at RSP when the port is written.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_EXCEPTION_STUBS_H_
#define VMWIRE_VMM_BOOT_EXCEPTION_STUBS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "memory/address.h"
#include "memory/guest_memory.h"
#include "vmm/guest_layout.h"

namespace vmwire {

// Ascending from RSP (Intel SDM volume 3, 6.14.2).
struct ExceptionFrame {
  uint64_t rdx;
  uint64_t rax;
  uint64_t error_code;
  uint64_t rip;
  uint64_t cs;
  uint64_t rflags;
  uint64_t rsp;
  uint64_t ss;
};
static_assert(sizeof(ExceptionFrame) == 64);

inline constexpr uint64_t kExceptionStubSize = 32;
inline constexpr uint64_t kExceptionStubsSize = 32 * kExceptionStubSize;

// Where the stub of `vector` begins. REQUIRES: vector < 32.
constexpr GuestAddress ExceptionStubAddress(uint32_t vector) {
  return GuestAddress(kExceptionStubsAddress.value() + vector * kExceptionStubSize);
}

// True for the vectors with which the CPU pushes an error code (Intel SDM volume 3, table 6-1, and
// for 29 and 30 the AMD64 manual volume 2, 8.2).
constexpr bool HasErrorCode(uint32_t vector) {
  return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 ||
         vector == 29 || vector == 30;
}

// Writes the stubs. Errors as GuestMemory::Write.
absl::Status WriteExceptionStubs(const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_EXCEPTION_STUBS_H_
