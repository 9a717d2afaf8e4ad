// The structures of ACPI's tables as they lie in memory (ACPI 6.4, 5.2).
//
// Invariants: little-endian, without padding; each offset that matters is checked.
// Thread safety: values.
#ifndef VMWIRE_VMM_FIRMWARE_ACPI_STRUCTURES_H_
#define VMWIRE_VMM_FIRMWARE_ACPI_STRUCTURES_H_

#include <cstddef>
#include <cstdint>

namespace vmwire {

// 5.2.5.3.
struct [[gnu::packed]] AcpiRsdp {
  char signature[8] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  uint8_t checksum = 0;  // Of the first 20 bytes.
  char oem_id[6] = {'V', 'M', 'W', 'I', 'R', 'E'};
  uint8_t revision = 2;
  uint32_t rsdt = 0;
  uint32_t length = 36;
  uint64_t xsdt = 0;
  uint8_t extended_checksum = 0;  // Of all of it.
  uint8_t reserved[3] = {};
};
static_assert(sizeof(AcpiRsdp) == 36);
inline constexpr size_t kAcpiRsdpFirstPart = 20;

// 5.2.6: how every table but the RSDP and the FACS starts.
struct [[gnu::packed]] AcpiHeader {
  char signature[4];
  uint32_t length;
  uint8_t revision;
  uint8_t checksum = 0;
  char oem_id[6] = {'V', 'M', 'W', 'I', 'R', 'E'};
  char oem_table_id[8] = {'V', 'M', 'W', 'I', 'R', 'E', 'P', 'C'};
  uint32_t oem_revision = 1;
  char creator_id[4] = {'V', 'M', 'W', 'R'};
  uint32_t creator_revision = 1;
};
static_assert(sizeof(AcpiHeader) == 36);

// 5.2.3.2, of registers in the I/O space.
struct [[gnu::packed]] AcpiAddress {
  uint8_t space = 0;
  uint8_t bit_width = 0;
  uint8_t bit_offset = 0;
  uint8_t access_size = 0;  // 1: byte, 2: word, 3: double word.
  uint64_t address = 0;
};
static_assert(sizeof(AcpiAddress) == 12);

// 5.2.9, without the header. Names as in the specification.
struct [[gnu::packed]] AcpiFadt {
  uint32_t firmware_ctrl = 0;
  uint32_t dsdt = 0;
  uint8_t reserved1 = 0;
  uint8_t preferred_pm_profile = 0;
  uint16_t sci_int = 0;
  uint32_t smi_cmd = 0;
  uint8_t acpi_enable = 0;
  uint8_t acpi_disable = 0;
  uint8_t s4bios_req = 0;
  uint8_t pstate_cnt = 0;
  uint32_t pm1a_evt_blk = 0;
  uint32_t pm1b_evt_blk = 0;
  uint32_t pm1a_cnt_blk = 0;
  uint32_t pm1b_cnt_blk = 0;
  uint32_t pm2_cnt_blk = 0;
  uint32_t pm_tmr_blk = 0;
  uint32_t gpe0_blk = 0;
  uint32_t gpe1_blk = 0;
  uint8_t pm1_evt_len = 0;
  uint8_t pm1_cnt_len = 0;
  uint8_t pm2_cnt_len = 0;
  uint8_t pm_tmr_len = 0;
  uint8_t gpe0_blk_len = 0;
  uint8_t gpe1_blk_len = 0;
  uint8_t gpe1_base = 0;
  uint8_t cst_cnt = 0;
  uint16_t p_lvl2_lat = 0;
  uint16_t p_lvl3_lat = 0;
  uint16_t flush_size = 0;
  uint16_t flush_stride = 0;
  uint8_t duty_offset = 0;
  uint8_t duty_width = 0;
  uint8_t day_alrm = 0;
  uint8_t mon_alrm = 0;
  uint8_t century = 0;
  uint16_t iapc_boot_arch = 0;
  uint8_t reserved2 = 0;
  uint32_t flags = 0;
  AcpiAddress reset_reg;
  uint8_t reset_value = 0;
  uint16_t arm_boot_arch = 0;
  uint8_t minor_version = 0;
  uint64_t x_firmware_ctrl = 0;
  uint64_t x_dsdt = 0;
  AcpiAddress x_pm1a_evt_blk;
  AcpiAddress x_pm1b_evt_blk;
  AcpiAddress x_pm1a_cnt_blk;
  AcpiAddress x_pm1b_cnt_blk;
  AcpiAddress x_pm2_cnt_blk;
  AcpiAddress x_pm_tmr_blk;
  AcpiAddress x_gpe0_blk;
  AcpiAddress x_gpe1_blk;
  AcpiAddress sleep_control_reg;
  AcpiAddress sleep_status_reg;
  uint64_t hypervisor_vendor = 0;
};
static_assert(sizeof(AcpiHeader) + sizeof(AcpiFadt) == 276);
static_assert(sizeof(AcpiHeader) + offsetof(AcpiFadt, century) == 108);
static_assert(sizeof(AcpiHeader) + offsetof(AcpiFadt, reset_reg) == 116);
static_assert(sizeof(AcpiHeader) + offsetof(AcpiFadt, x_dsdt) == 140);

// 5.2.10: what guest and firmware share; it has no checksum.
struct [[gnu::packed]] AcpiFacs {
  char signature[4] = {'F', 'A', 'C', 'S'};
  uint32_t length = 64;
  uint32_t hardware_signature = 0;
  uint32_t waking_vector = 0;
  uint32_t global_lock = 0;
  uint32_t flags = 0;
  uint64_t x_waking_vector = 0;
  uint8_t version = 2;
  uint8_t reserved[31] = {};
};
static_assert(sizeof(AcpiFacs) == 64);

// 5.2.12 and its parts.
struct [[gnu::packed]] AcpiMadt {
  uint32_t local_apic_address = 0;
  uint32_t flags = 0;
};

struct [[gnu::packed]] AcpiLocalApic {
  uint8_t type = 0;
  uint8_t length = 8;
  uint8_t processor_uid = 0;
  uint8_t apic_id = 0;
  uint32_t flags = 1;  // Enabled.
};
static_assert(sizeof(AcpiLocalApic) == 8);

struct [[gnu::packed]] AcpiIoApic {
  uint8_t type = 1;
  uint8_t length = 12;
  uint8_t id = 0;
  uint8_t reserved = 0;
  uint32_t address = 0;
  uint32_t interrupt_base = 0;
};
static_assert(sizeof(AcpiIoApic) == 12);

struct [[gnu::packed]] AcpiInterruptOverride {
  uint8_t type = 2;
  uint8_t length = 10;
  uint8_t bus = 0;  // ISA.
  uint8_t irq = 0;
  uint32_t interrupt = 0;
  uint16_t flags = 0;
};
static_assert(sizeof(AcpiInterruptOverride) == 10);

struct [[gnu::packed]] AcpiLocalApicNmi {
  uint8_t type = 4;
  uint8_t length = 6;
  uint8_t processor_uid = 0xff;  // All.
  uint16_t flags = 0;            // As the bus does.
  uint8_t lint = 1;
};
static_assert(sizeof(AcpiLocalApicNmi) == 6);

}  // namespace vmwire

#endif  // VMWIRE_VMM_FIRMWARE_ACPI_STRUCTURES_H_
