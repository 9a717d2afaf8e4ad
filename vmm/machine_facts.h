// What a start tells the guest of its machine, in whatever form its protocol has.
//
// Invariants: none.
// Thread safety: values; the views stay valid as long as the machine that made them.
#ifndef VMWIRE_VMM_MACHINE_FACTS_H_
#define VMWIRE_VMM_MACHINE_FACTS_H_

#include <cstdint>
#include <span>

#include "vmm/guest_layout.h"

namespace vmwire {

struct MachineFacts {
  const GuestLayout& layout;
  uint64_t tsc_khz = 0;  // Of the guest's time-stamp counter; 0 if it is not known.
  uint32_t cpus = 1;
  std::span<const BootInfoDevice> devices = {};  // Those that the ports do not reach.
  // The guest finds ACPI tables, the RSDP at kRsdpAddress, and an MP table.
  bool firmware_tables = true;
  // A Linux command line names the virtio devices too (virtio_mmio.device=), for kernels that take
  // no ACPI.
  bool devices_on_command_line = false;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_MACHINE_FACTS_H_
