// Which CPUs there are, from the MADT of ACPI (ACPI 6.4, 5.2.12).
#ifndef VMWIRE_GUESTS_SMP_ACPI_H_
#define VMWIRE_GUESTS_SMP_ACPI_H_

#include <stdint.h>

#define SMP_MAX_CPUS 255  // As many as APIC ids of 8 bits tell apart; 255 is the broadcast.

struct smp_cpus {
  uint32_t apic_address;  // Where each CPU sees its own local APIC.
  uint32_t count;
  uint8_t apic_ids[SMP_MAX_CPUS];
};

// Reads the enabled CPUs, SMP_MAX_CPUS of them at most. Gives 0 if `rsdp` does not lead to a MADT
// through tables whose checksums are right.
int smp_find_cpus(uint64_t rsdp, struct smp_cpus* cpus);

#endif  // VMWIRE_GUESTS_SMP_ACPI_H_
