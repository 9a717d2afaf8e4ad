// The table of Intel's MultiProcessor Specification 1.4: the same CPUs and interrupts as the MADT,
// for kernels that know no ACPI.
//
// Invariants: both checksums hold; the block ends below kFirmwareEnd. The same facts give the same
// bytes.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_MP_TABLE_H_
#define VMWIRE_VMM_FIRMWARE_MP_TABLE_H_

#include "vmm/boot/boot_block.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// The floating pointer structure, at kMpTableAddress, and behind it the configuration table: the
// processors, the ISA bus, the I/O APIC, its interrupts and those of the local APICs. Of the I/O
// APIC's pins from 16 on those are there that a device has.
// REQUIRES: 1 to kMaxCpus CPUs, at most kMaxBootInfoDevices devices.
BootBlock MakeMpTable(const MachineFacts& facts);

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_MP_TABLE_H_
