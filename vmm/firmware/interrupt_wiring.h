// How the interrupt controllers that KVM makes are wired, for those tables that tell the guest of
// it: local APICs with the numbers of the vCPUs, one I/O APIC whose pin n is interrupt n of the ISA
// bus. (KVM's default routing wires interrupt 0 to pin 0, not 2 as most PCs do.) Interrupts from 16
// on are those pins of the I/O APIC that no bus has.
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_INTERRUPT_WIRING_H_
#define VMWIRE_VMM_FIRMWARE_INTERRUPT_WIRING_H_

#include <cstdint>

#include "vmm/machine_config.h"

namespace vmwire {

inline constexpr uint32_t kLocalApicAddress = 0xfee00000;
inline constexpr uint32_t kIoApicAddress = 0xfec00000;
inline constexpr uint8_t kIoApicId = 0;
inline constexpr uint32_t kIsaInterrupts = 16;
// Of the ids of 8 bits that the tables have, 255 is the broadcast.
inline constexpr uint32_t kMaxApicId = 254;
static_assert(kMaxCpus <= kMaxApicId + 1);

// Polarity and trigger of an interrupt, in the numbers that ACPI (6.4, 5.2.12.5) and the MP
// specification (4.3.4) share. 0: as the bus does; for ISA edge-triggered and active high.
inline constexpr uint16_t kAsTheBus = 0;
inline constexpr uint16_t kEdgeActiveHigh = 0x05;
inline constexpr uint16_t kLevelActiveHigh = 0x0d;

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_INTERRUPT_WIRING_H_
