// What a machine is made of, as numbers and choices: nothing here has been checked against the host
// yet.
//
// Invariants: none; Machine::Create checks.
// Thread safety: values.
#ifndef VMWIRE_VMM_MACHINE_CONFIG_H_
#define VMWIRE_VMM_MACHINE_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memory/page_range.h"
#include "memory/pinner.h"
#include "memory/vm_object.h"
#include "memory/wire_policy.h"
#include "vmm/device_config.h"

namespace vmwire {

// Small on purpose: the tiny guests need no more, and it can be wired under the usual
// RLIMIT_MEMLOCK of 8 MiB.
inline constexpr uint64_t kDefaultMemoryBytes = uint64_t{4} << 20;

// The most CPUs that a machine can have, whatever the host allows: as many as APIC ids of 8 bits
// tell apart, of which 255 is the broadcast (Intel SDM volume 3, 11.6.1).
inline constexpr uint32_t kMaxCpus = 255;

struct MachineConfig {
  uint64_t memory_bytes = kDefaultMemoryBytes;
  MemoryBacking backing = MemoryBacking::kAnonymous;
  HugePages huge_pages = HugePages::kTransparent;  // Of kAnonymous and kMemfd.
  bool sealed = false;                             // Of kMemfd and kHugetlb; see VmObjectOptions.

  WirePolicyKind wire = WirePolicyKind::kAll;
  // For WirePolicyKind::kDma, beside those that the image declares.
  std::vector<GuestRange> dma_windows = {};
  PinLevel pin_level = PinLevel::kGuarded;
  // Bytes that may be wired, besides what the host allows.
  std::optional<uint64_t> wire_limit = std::nullopt;

  uint32_t cpus = 1;
  // CPU features that the guest is not to see, by the names of cpu_features.h.
  std::vector<std::string> cpu_hide = {};
  // Instructions that KVM gives up on and that can be done from outside are done
  // (emulation/instruction_completer.h).
  bool complete_emulation = false;
  // The virtio devices are named on a Linux command line too, for kernels that take no ACPI.
  bool devices_on_command_line = false;

  // KVM's interrupt controller and timer, as far as it has them. HLT then waits for an interrupt;
  // without, it ends the run.
  bool irqchip = false;

  // With any of them, or more than one CPU, or an image whose protocol is not ours, the machine has
  // an interrupt controller too.
  DeviceConfig devices = {};
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_MACHINE_CONFIG_H_
