// How the interrupt controllers that KVM makes are wired, for those tables that tell the guest of
// it: local APICs with the numbers of the vCPUs, one I/O APIC whose pin n is interrupt n of the ISA
// bus. (KVM's default routing wires interrupt 0 to pin 0, not 2 as most PCs do.)
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_INTERRUPT_WIRING_H_
#define VMWIRE_VMM_FIRMWARE_INTERRUPT_WIRING_H_

#include <cstdint>

namespace vmwire {

inline constexpr uint32_t kLocalApicAddress = 0xfee00000;
inline constexpr uint32_t kIoApicAddress = 0xfec00000;
inline constexpr uint8_t kIoApicId = 0;
inline constexpr uint32_t kIsaInterrupts = 16;
// A local APIC with a higher id is addressed in x2APIC mode only; 255 is the broadcast.
inline constexpr uint32_t kMaxApicId = 254;

// Polarity and trigger of an interrupt, in the numbers that ACPI (6.4, 5.2.12.5) and the MP
// specification (4.3.4) share. 0: as the bus does; for ISA edge-triggered and active high.
inline constexpr uint16_t kAsTheBus = 0;
inline constexpr uint16_t kLevelActiveHigh = 0x0d;

// The most CPUs that the tables have room for.
inline constexpr uint32_t kMaxFirmwareCpus = 1024;

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_INTERRUPT_WIRING_H_
