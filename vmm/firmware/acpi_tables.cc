#include "vmm/firmware/acpi_tables.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "memory/check.h"
#include "vmm/firmware/acpi_devices.h"
#include "vmm/firmware/acpi_structures.h"
#include "vmm/firmware/interrupt_wiring.h"
#include "vmm/firmware/table_bytes.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// FADT flags (ACPI 6.4, table 5.10).
constexpr uint32_t kWbinvd = 1u << 0;
constexpr uint32_t kProcessorC1 = 1u << 2;
constexpr uint32_t kNoFixedPowerButton = 1u << 4;
constexpr uint32_t kNoFixedSleepButton = 1u << 5;
constexpr uint32_t kNoFixedRtcWake = 1u << 6;
constexpr uint32_t kTimerHas32Bits = 1u << 8;
constexpr uint32_t kResetRegisterSupported = 1u << 10;
// IA-PC boot architecture flags (table 5.11).
constexpr uint16_t kLegacyDevices = 1u << 0;
constexpr uint16_t kKeyboardController = 1u << 1;
constexpr uint16_t kNoVga = 1u << 2;

constexpr uint16_t kNoC2 = 101;   // Microseconds; above 100 there is no C2,
constexpr uint16_t kNoC3 = 1001;  // and above 1000 no C3 (5.2.9).
constexpr uint8_t kRtcCenturyRegister = 0x32;
constexpr uint32_t kMadtHas8259 = 1u << 0;

constexpr uint64_t kFacsAlignment = 64;
constexpr uint64_t kTableAlignment = 16;

AcpiAddress IoRegister(uint16_t port, uint8_t bytes) {
  return {.space = 1,
          .bit_width = static_cast<uint8_t>(bytes * 8),
          .bit_offset = 0,
          .access_size = static_cast<uint8_t>(bytes == 4 ? 3 : bytes),
          .address = port};
}

// The header and `body`, with length and checksum.
TableBytes Table(const char (&signature)[5], uint8_t revision, const TableBytes& body) {
  AcpiHeader header = {
      .signature = {signature[0], signature[1], signature[2], signature[3]},
      .length = static_cast<uint32_t>(sizeof(AcpiHeader) + body.size()),
      .revision = revision,
  };
  TableBytes table;
  AppendObject(table, header);
  AppendBytes(table, body);
  table[offsetof(AcpiHeader, checksum)] = std::byte{ChecksumOf(table)};
  return table;
}

TableBytes MakeFadt(GuestAddress facs, GuestAddress dsdt) {
  AcpiFadt fadt;
  fadt.firmware_ctrl = static_cast<uint32_t>(facs.value());
  fadt.dsdt = static_cast<uint32_t>(dsdt.value());
  fadt.x_dsdt = dsdt.value();
  fadt.sci_int = kSciIrq;
  fadt.pm1a_evt_blk = kPmEventPort;
  fadt.pm1_evt_len = 4;
  fadt.x_pm1a_evt_blk = IoRegister(kPmEventPort, 4);
  fadt.x_pm1a_evt_blk.access_size = 2;  // Two registers of a word each.
  fadt.pm1a_cnt_blk = kPmControlPort;
  fadt.pm1_cnt_len = 2;
  fadt.x_pm1a_cnt_blk = IoRegister(kPmControlPort, 2);
  fadt.pm_tmr_blk = kPmTimerPort;
  fadt.pm_tmr_len = 4;
  fadt.x_pm_tmr_blk = IoRegister(kPmTimerPort, 4);
  fadt.p_lvl2_lat = kNoC2;
  fadt.p_lvl3_lat = kNoC3;
  fadt.century = kRtcCenturyRegister;
  fadt.iapc_boot_arch = kLegacyDevices | kKeyboardController | kNoVga;
  fadt.flags = kWbinvd | kProcessorC1 | kNoFixedPowerButton | kNoFixedSleepButton |
               kNoFixedRtcWake | kTimerHas32Bits | kResetRegisterSupported;
  fadt.reset_reg = IoRegister(kResetPort, 1);
  fadt.reset_value = kResetValue;
  fadt.minor_version = 4;
  TableBytes body;
  AppendObject(body, fadt);
  return Table("FACP", 6, body);
}

TableBytes MakeMadt(uint32_t cpus) {
  TableBytes body;
  AppendObject(body, AcpiMadt{.local_apic_address = kLocalApicAddress, .flags = kMadtHas8259});
  for (uint32_t cpu = 0; cpu < cpus; ++cpu) {
    const auto id = static_cast<uint8_t>(cpu);
    AppendObject(body, AcpiLocalApic{.processor_uid = id, .apic_id = id});
  }
  AppendObject(body, AcpiIoApic{.id = kIoApicId, .address = kIoApicAddress});
  // The SCI is a level by definition (5.2.15); nothing in this machine raises it.
  AppendObject(
      body, AcpiInterruptOverride{.irq = kSciIrq, .interrupt = kSciIrq, .flags = kLevelActiveHigh});
  AppendObject(body, AcpiLocalApicNmi{});
  return Table("APIC", 5, body);
}

// An RSDT has addresses of 32 bits, an XSDT of 64.
template <typename Address>
TableBytes MakeRoot(const char (&signature)[5], const std::vector<GuestAddress>& tables) {
  TableBytes body;
  for (const GuestAddress table : tables) {
    AppendObject(body, static_cast<Address>(table.value()));
  }
  return Table(signature, 1, body);
}

TableBytes MakeRsdp(GuestAddress rsdt, GuestAddress xsdt) {
  TableBytes table;
  AppendObject(table, AcpiRsdp{.rsdt = static_cast<uint32_t>(rsdt.value()), .xsdt = xsdt.value()});
  table[offsetof(AcpiRsdp, checksum)] =
      std::byte{ChecksumOf(std::span(table).first(kAcpiRsdpFirstPart))};
  table[offsetof(AcpiRsdp, extended_checksum)] = std::byte{ChecksumOf(table)};
  return table;
}

// Gives tables their places, one after another.
class TableArea {
 public:
  explicit TableArea(GuestAddress start) : next_(start.value()) {}

  GuestAddress Add(TableBytes bytes, uint64_t alignment = kTableAlignment) {
    const uint64_t address = (next_ + alignment - 1) / alignment * alignment;
    next_ = address + bytes.size();
    VMWIRE_CHECK(next_ <= kMpTableAddress.value(), "the ACPI tables have outgrown their place");
    blocks_.push_back({.address = GuestAddress(address), .bytes = std::move(bytes)});
    return GuestAddress(address);
  }

  std::vector<BootBlock> Take() { return std::move(blocks_); }

 private:
  uint64_t next_;
  std::vector<BootBlock> blocks_;
};

}  // namespace

std::vector<BootBlock> MakeAcpiTables(const MachineFacts& facts) {
  VMWIRE_CHECK(facts.cpus >= 1 && facts.cpus <= kMaxCpus, "too many CPUs, or none");
  VMWIRE_CHECK(facts.devices.size() <= kMaxBootInfoDevices, "too many devices");
  TableArea area(GuestAddress(kRsdpAddress.value() + sizeof(AcpiRsdp)));
  AcpiFacs facs;
  TableBytes facs_bytes;
  AppendObject(facs_bytes, facs);
  const GuestAddress facs_address = area.Add(std::move(facs_bytes), kFacsAlignment);
  const GuestAddress dsdt = area.Add(Table("DSDT", 2, MakeAcpiDevices(facts)));
  const std::vector<GuestAddress> tables = {area.Add(MakeFadt(facs_address, dsdt)),
                                            area.Add(MakeMadt(facts.cpus))};
  const GuestAddress rsdt = area.Add(MakeRoot<uint32_t>("RSDT", tables));
  const GuestAddress xsdt = area.Add(MakeRoot<uint64_t>("XSDT", tables));

  std::vector<BootBlock> blocks = {{.address = kRsdpAddress, .bytes = MakeRsdp(rsdt, xsdt)}};
  for (BootBlock& block : area.Take()) blocks.push_back(std::move(block));
  return blocks;
}

}  // namespace vmwire
