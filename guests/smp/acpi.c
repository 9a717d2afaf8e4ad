#include "guests/smp/acpi.h"

#include "guests/pc/pc_guest.h"
#include "guests/runtime/memory.h"

#define LOCAL_APIC 0  // The kind of MADT entry that stands for a CPU.
#define CPU_ENABLED 1u

struct rsdp {
  char signature[8];
  uint8_t checksum;  // Of the first 20 bytes.
  char oem[6];
  uint8_t revision;
  uint32_t rsdt;
  uint32_t size;
  uint64_t xsdt;
  uint8_t extended_checksum;
  uint8_t reserved[3];
} __attribute__((packed));

struct table {
  char signature[4];
  uint32_t size;
  uint8_t revision;
  uint8_t checksum;
  char maker[26];  // Of the table and of the tool, with versions.
} __attribute__((packed));

struct xsdt {
  struct table table;
  uint64_t entries[];
} __attribute__((packed));

struct madt {
  struct table table;
  uint32_t apic_address;
  uint32_t flags;
  uint8_t entries[];
} __attribute__((packed));

struct local_apic {
  uint8_t kind;
  uint8_t size;
  uint8_t uid;
  uint8_t apic_id;
  uint32_t flags;
} __attribute__((packed));

static int sums_to_zero(const void* bytes, uint32_t size) {
  const uint8_t* at = bytes;
  uint8_t sum = 0;
  for (uint32_t i = 0; i < size; ++i) sum = (uint8_t)(sum + at[i]);
  return sum == 0;
}

// The table at `address` if it has that signature and is whole; else null.
static const void* table_at(uint64_t address, const char* signature) {
  const struct table* table = pc_at(address);
  if (address == 0 || address >> 32 != 0 || memcmp(table->signature, signature, 4) != 0) return 0;
  return sums_to_zero(table, table->size) ? table : 0;
}

static const struct madt* find_madt(uint64_t rsdp_address) {
  const struct rsdp* rsdp = pc_at(rsdp_address);
  if (rsdp_address == 0 || memcmp(rsdp->signature, "RSD PTR ", 8) != 0) return 0;
  if (!sums_to_zero(rsdp, 20) || rsdp->revision < 2 || !sums_to_zero(rsdp, rsdp->size)) return 0;
  const struct xsdt* xsdt = table_at(rsdp->xsdt, "XSDT");
  if (xsdt == 0) return 0;
  uint32_t count = (xsdt->table.size - (uint32_t)sizeof(*xsdt)) / 8;
  for (uint32_t i = 0; i < count; ++i) {
    const struct madt* madt = table_at(xsdt->entries[i], "APIC");
    if (madt != 0) return madt;
  }
  return 0;
}

int smp_find_cpus(uint64_t rsdp, struct smp_cpus* cpus) {
  const struct madt* madt = find_madt(rsdp);
  if (madt == 0) return 0;
  cpus->apic_address = madt->apic_address;
  cpus->count = 0;
  const uint8_t* end = (const uint8_t*)madt + madt->table.size;
  for (const uint8_t* at = madt->entries; at + 2 <= end && at[1] != 0; at += at[1]) {
    const struct local_apic* entry = (const void*)at;
    if (entry->kind != LOCAL_APIC || (entry->flags & CPU_ENABLED) == 0) continue;
    if (cpus->count < SMP_MAX_CPUS) cpus->apic_ids[cpus->count++] = entry->apic_id;
  }
  return cpus->count != 0;
}
