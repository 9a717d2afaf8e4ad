// The machine's devices in AML: the body of the DSDT, from which a stock kernel knows the serial
// port, the virtio devices, the other devices at fixed ports, and how to power off.
//
// Invariants: the same facts give the same bytes.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_ACPI_DEVICES_H_
#define VMWIRE_VMM_FIRMWARE_ACPI_DEVICES_H_

#include "vmm/firmware/table_bytes.h"
#include "vmm/machine_facts.h"

namespace vmwire {

// \_S5, and in \_SB: C000.. the processors, _UID as in the MADT; COM1; PS2K, the keyboard
// controller; RTC; VR00.. each virtio device, numbered by its place in facts.devices. Devices of
// another kind, which no stock kernel knows, are left out.
// REQUIRES: at most 4096 CPUs; at most 256 devices, their windows below 4 GiB.
TableBytes MakeAcpiDevices(const MachineFacts& facts);

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_ACPI_DEVICES_H_
