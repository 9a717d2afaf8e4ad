// Starts the other CPUs through the local APIC (Intel SDM 3A, 9.4.4, "MP Initialization Example").
#ifndef VMWIRE_GUESTS_SMP_CPUS_H_
#define VMWIRE_GUESTS_SMP_CPUS_H_

#include <stdint.h>

#include "guests/smp/acpi.h"

// The page below 1 MiB in which a CPU begins; to be free memory.
#define SMP_TRAMPOLINE_ADDRESS 0x70000

// What each CPU but the first runs, in 32-bit protected mode on a stack of its own; `cpu` counts
// them from 1. When it returns, the CPU halts for good.
void smp_cpu_main(uint32_t cpu);

// Starts them all, one after another. Gives how many CPUs run then, the first included: fewer than
// cpus->count if one did not come.
uint32_t smp_start_cpus(const struct smp_cpus* cpus);

#endif  // VMWIRE_GUESTS_SMP_CPUS_H_
