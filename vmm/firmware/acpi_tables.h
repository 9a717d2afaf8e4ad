// The ACPI tables of a machine: a small PC without PCI, ACPI mode on from the start, power off and
// reset through registers.
//
//   RSDP --> RSDT, XSDT --> FADT --> FACS, DSDT (the devices, acpi_devices.h)
//                       \-> MADT (the interrupt controllers, interrupt_wiring.h)
//
// Invariants: the tables lie in [kRsdpAddress, kMpTableAddress), disjoint, ascending, aligned as
// each must be; every checksum holds. The same facts give the same bytes.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_ACPI_TABLES_H_
#define VMWIRE_VMM_FIRMWARE_ACPI_TABLES_H_

#include <vector>

#include "vmm/boot/boot_block.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// One block a table; the first is the RSDP, at kRsdpAddress.
// REQUIRES: 1 to kMaxCpus CPUs, at most kMaxBootInfoDevices devices, windows below 4 GiB.
std::vector<BootBlock> MakeAcpiTables(const MachineFacts& facts);

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_ACPI_TABLES_H_
