// GDT, TSS and IDT of a start (Intel SDM volume 3: segment descriptors 3.4.5, TSS in 64-bit mode
// 8.7, I/O permission bitmap 19.5.2 of volume 1, IDT 6.14).
//
// Invariants: the tables fit between their addresses in vmm/guest_layout.h.
// Thread safety: no state.
#ifndef VMWIRE_VMM_BOOT_DESCRIPTOR_TABLES_H_
#define VMWIRE_VMM_BOOT_DESCRIPTOR_TABLES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "memory/guest_memory.h"
#include "vmm/boot/boot_block.h"
#include "vmm/boot/start_mode.h"

namespace vmwire {

// Selectors; those of ring 3 carry RPL 3.
inline constexpr uint16_t kRing0Code64Selector = 0x08;
inline constexpr uint16_t kRing0DataSelector = 0x10;
inline constexpr uint16_t kRing3DataSelector = 0x18 | 3;
inline constexpr uint16_t kRing3Code64Selector = 0x20 | 3;
inline constexpr uint16_t kTssSelector = 0x28;  // Takes two entries.
inline constexpr uint16_t kRing0Code32Selector = 0x38;
inline constexpr uint16_t kGdtLimit = 0x40 - 1;

// Of FlatGdt: those that Linux' boot protocol asks for (__BOOT_CS, __BOOT_DS).
inline constexpr uint16_t kFlatCodeSelector = 0x10;
inline constexpr uint16_t kFlatDataSelector = 0x18;
inline constexpr uint16_t kFlatGdtLimit = 0x20 - 1;

// The vectors that the CPU itself raises.
inline constexpr uint32_t kExceptionVectors = 32;
// The IDT has room for every vector; the gates that are not the CPU's are the guest's to fill in.
inline constexpr uint16_t kIdtLimit = 256 * 16 - 1;

// Code at CPL 3 may use the ports below this.
inline constexpr uint32_t kRing3PortEnd = 0x4000;
inline constexpr uint32_t kTssFixedSize = 104;
// The bitmap ends with a byte of ones, which the CPU reads together with the last one.
inline constexpr uint32_t kTssLimit = kTssFixedSize + kRing3PortEnd / 8;

// Writes the GDT. Errors as GuestMemory::Write.
absl::Status WriteGdt(const GuestMemory& memory);

// The GDT of a start by somebody else's protocol, for kGdtAddress: flat code of the mode's width at
// kFlatCodeSelector, flat data at kFlatDataSelector. REQUIRES: kProtected32 or kLong64Ring0.
BootBlock FlatGdt(StartMode mode);

// Writes the TSS: RSP0, IST1 for exceptions, and the I/O permission bitmap. Errors as
// GuestMemory::Write.
absl::Status WriteTss(const GuestMemory& memory);

// Writes an IDT whose gates lead the CPU's exceptions to the stubs of exception_stubs.h, at CPL 0
// and on IST1. Errors as GuestMemory::Write.
absl::Status WriteIdt(const GuestMemory& memory);

}  // namespace vmwire

#endif  // VMWIRE_VMM_BOOT_DESCRIPTOR_TABLES_H_
