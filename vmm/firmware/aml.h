// The few words of AML, the byte code of ACPI, that a description of fixed devices needs (ACPI 6.4,
// chapter 20), and the resource descriptors that go with them (6.4).
//
// Each function gives the bytes of one term; terms nest:
//
//   Device("COM1", {Name("_HID", EisaId("PNP0501")), Name("_CRS", Resources({IoPorts(0x3f8, 8)}))})
//
// Invariants: none.
// Thread safety: no state.
#ifndef VMWIRE_VMM_FIRMWARE_AML_H_
#define VMWIRE_VMM_FIRMWARE_AML_H_

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/firmware/table_bytes.h"

namespace vmwire::aml {

using Terms = std::vector<TableBytes>;

// Names are one segment of 1 to 4 characters, A to Z, 0 to 9 and _, after a backslash if they are
// of the root: "\\_SB", "COM1". REQUIRES, of every function here: names are such.

TableBytes Integer(uint64_t value);
// REQUIRES: ASCII without a zero.
TableBytes String(const std::string& text);
// An EISA id, "PNP0501", as the compressed integer of _HID (ACPI 6.4, 19.6.36). REQUIRES: three
// capital letters, four hexadecimal digits.
TableBytes EisaId(const std::string& id);
// REQUIRES: at most 255 elements.
TableBytes Package(const Terms& elements);
TableBytes Name(const std::string& name, const TableBytes& value);
TableBytes Scope(const std::string& name, const Terms& terms);
TableBytes Device(const std::string& name, const Terms& terms);

// A buffer of resource descriptors with the end tag that closes them, the value of _CRS.
TableBytes Resources(const Terms& descriptors);
// `count` I/O ports from `base`, all 16 bits of the address decoded (6.4.2.5).
TableBytes IoPorts(uint16_t base, uint8_t count);
// An interrupt of the ISA bus: edge-triggered, active high, exclusive (6.4.2.1).
// REQUIRES: irq < 16.
TableBytes IsaInterrupt(uint32_t irq);
// Memory that can be written, at a fixed place (6.4.3.4).
TableBytes FixedMemory(uint32_t base, uint32_t size);
// A global system interrupt that the device consumes: edge-triggered, active high, exclusive
// (6.4.3.6).
TableBytes EdgeInterrupt(uint32_t interrupt);

}  // namespace vmwire::aml

#endif  // VMWIRE_VMM_FIRMWARE_AML_H_
