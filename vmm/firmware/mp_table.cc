#include "vmm/firmware/mp_table.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "memory/check.h"
#include "vmm/firmware/interrupt_wiring.h"
#include "vmm/firmware/table_bytes.h"
#include "vmm/guest_layout.h"

namespace vmwire {
namespace {

// MultiProcessor Specification 1.4, 4.1 to 4.3.
struct [[gnu::packed]] FloatingPointer {
  char signature[4] = {'_', 'M', 'P', '_'};
  uint32_t table = 0;
  uint8_t length = 1;  // In units of 16 bytes.
  uint8_t revision = 4;
  uint8_t checksum = 0;
  uint8_t default_configuration = 0;  // None: there is a table.
  uint8_t features[4] = {};           // The PICs are in virtual wire mode.
};
static_assert(sizeof(FloatingPointer) == 16);

struct [[gnu::packed]] ConfigurationHeader {
  char signature[4] = {'P', 'C', 'M', 'P'};
  uint16_t length = 0;
  uint8_t revision = 4;
  uint8_t checksum = 0;
  char oem_id[8] = {'V', 'M', 'W', 'I', 'R', 'E', ' ', ' '};
  char product_id[12] = {'P', 'C', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
  uint32_t oem_table = 0;
  uint16_t oem_table_size = 0;
  uint16_t entry_count = 0;
  uint32_t local_apic_address = kLocalApicAddress;
  uint16_t extended_length = 0;
  uint8_t extended_checksum = 0;
  uint8_t reserved = 0;
};
static_assert(sizeof(ConfigurationHeader) == 44);

struct [[gnu::packed]] Processor {
  uint8_t type = 0;
  uint8_t apic_id = 0;
  uint8_t apic_version = 0x14;  // That of KVM's local APIC.
  uint8_t flags = 0;
  uint32_t signature = 0x600;  // Family 6.
  uint32_t features = 0x201;   // FPU, APIC; CPUID tells the rest.
  uint64_t reserved = 0;
};
static_assert(sizeof(Processor) == 20);
constexpr uint8_t kProcessorEnabled = 1;
constexpr uint8_t kProcessorStartsFirst = 2;

constexpr uint8_t kIsaBusId = 0;
struct [[gnu::packed]] Bus {
  uint8_t type = 1;
  uint8_t id = kIsaBusId;
  char name[6] = {'I', 'S', 'A', ' ', ' ', ' '};
};
static_assert(sizeof(Bus) == 8);

struct [[gnu::packed]] IoApic {
  uint8_t type = 2;
  uint8_t id = kIoApicId;
  uint8_t version = 0x11;  // That of KVM's I/O APIC.
  uint8_t flags = 1;       // Enabled.
  uint32_t address = kIoApicAddress;
};
static_assert(sizeof(IoApic) == 8);

enum class InterruptType : uint8_t { kVectored = 0, kNmi = 1, kExternal = 3 };
constexpr uint8_t kIoInterrupt = 3;
constexpr uint8_t kLocalInterrupt = 4;
constexpr uint8_t kAllLocalApics = 0xff;

struct [[gnu::packed]] Interrupt {
  uint8_t type = kIoInterrupt;
  InterruptType interrupt_type = InterruptType::kVectored;
  uint16_t flags = kAsTheBus;
  uint8_t bus = kIsaBusId;
  uint8_t irq = 0;
  uint8_t apic = kIoApicId;
  uint8_t pin = 0;
};
static_assert(sizeof(Interrupt) == 8);

class Configuration {
 public:
  Configuration() { AppendObject(bytes_, ConfigurationHeader{}); }

  template <typename Entry>
  void Add(const Entry& entry) {
    AppendObject(bytes_, entry);
    ++entries_;
  }

  TableBytes Take() && {
    Put(offsetof(ConfigurationHeader, length), static_cast<uint16_t>(bytes_.size()));
    Put(offsetof(ConfigurationHeader, entry_count), entries_);
    Put(offsetof(ConfigurationHeader, checksum), ChecksumOf(bytes_));
    return std::move(bytes_);
  }

 private:
  template <typename T>
  void Put(size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof(value));
  }

  TableBytes bytes_;
  uint16_t entries_ = 0;
};

void AddProcessors(uint32_t cpus, Configuration& table) {
  for (uint32_t cpu = 0; cpu < cpus; ++cpu) {
    Processor processor;
    processor.apic_id = static_cast<uint8_t>(cpu);
    processor.flags = kProcessorEnabled;
    if (cpu == 0) processor.flags |= kProcessorStartsFirst;
    table.Add(processor);
  }
}

void AddInterrupts(std::span<const BootInfoDevice> devices, Configuration& table) {
  for (uint8_t irq = 0; irq < kIsaInterrupts; ++irq) {
    const uint16_t flags = irq == kSciIrq ? kLevelActiveHigh : kAsTheBus;
    table.Add(Interrupt{.flags = flags, .irq = irq, .pin = irq});
  }
  // The ISA bus has no such interrupts, but there is no other that these could be of.
  for (const BootInfoDevice& device : devices) {
    if (device.irq < kIsaInterrupts) continue;
    const auto pin = static_cast<uint8_t>(device.irq);
    table.Add(Interrupt{.flags = kEdgeActiveHigh, .irq = pin, .pin = pin});
  }
  // The PICs reach LINT0 of each local APIC, NMIs LINT1.
  table.Add(Interrupt{.type = kLocalInterrupt,
                      .interrupt_type = InterruptType::kExternal,
                      .apic = kAllLocalApics,
                      .pin = 0});
  table.Add(Interrupt{.type = kLocalInterrupt,
                      .interrupt_type = InterruptType::kNmi,
                      .apic = kAllLocalApics,
                      .pin = 1});
}

TableBytes MakeFloatingPointer() {
  TableBytes bytes;
  AppendObject(bytes, FloatingPointer{.table = static_cast<uint32_t>(kMpTableAddress.value() +
                                                                     sizeof(FloatingPointer))});
  bytes[offsetof(FloatingPointer, checksum)] = std::byte{ChecksumOf(bytes)};
  return bytes;
}

}  // namespace

BootBlock MakeMpTable(const MachineFacts& facts) {
  VMWIRE_CHECK(facts.cpus >= 1 && facts.cpus <= kMaxCpus, "too many CPUs, or none");
  VMWIRE_CHECK(facts.devices.size() <= kMaxBootInfoDevices, "too many devices");
  Configuration table;
  AddProcessors(facts.cpus, table);
  table.Add(Bus{});
  table.Add(IoApic{});
  AddInterrupts(facts.devices, table);

  BootBlock block{.address = kMpTableAddress, .bytes = MakeFloatingPointer()};
  AppendBytes(block.bytes, std::move(table).Take());
  static_assert(kMpTableAddress.value() + sizeof(FloatingPointer) + sizeof(ConfigurationHeader) +
                    kMaxCpus * sizeof(Processor) + sizeof(Bus) + sizeof(IoApic) +
                    (kIsaInterrupts + kMaxBootInfoDevices + 2) * sizeof(Interrupt) <
                kFirmwareEnd.value());
  return block;
}

}  // namespace vmwire
