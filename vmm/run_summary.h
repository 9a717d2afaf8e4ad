// What one launch cost and did: the figures of `vmwire run --stats`.
//
// Invariants: a figure that the host does not give is absent, never zero.
// Thread safety: values.
#ifndef VMWIRE_VMM_RUN_SUMMARY_H_
#define VMWIRE_VMM_RUN_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memory/host_memory.h"
#include "memory/pin_proof.h"
#include "vmm/machine.h"
#include "vmm/machine_config.h"
#include "vmm/machine_devices.h"
#include "vmm/run_loop.h"
#include "vmm/timeline.h"

namespace vmwire {

struct RunSummary {
  MachineConfig config;
  Timeline timeline;
  uint64_t wired_bytes = 0;
  uint64_t minor_faults = 0;  // Of the whole process.
  uint64_t major_faults = 0;
  // What the host holds of guest memory.
  std::optional<HostUsage> guest_memory = std::nullopt;
  // Bytes of private memory of this process that are not guest memory.
  std::optional<uint64_t> beyond_guest_memory = std::nullopt;
  RunStats run;
  std::vector<DeviceSummary> devices = {};
  std::optional<PinProof> proof = std::nullopt;  // If one was asked for.
};

// Takes the figures while the machine still has its memory.
RunSummary Summarize(const MachineConfig& config, const Machine& machine, const HostMemory& host,
                     const Timeline& timeline);

// A table for a person, lines ended.
std::string SummaryTable(const RunSummary& summary);

// One JSON object in one line, ended. Times are in nanoseconds from the start of the command, sizes
// in bytes. The proof is in the JSON only.
std::string SummaryJson(const RunSummary& summary);

}  // namespace vmwire

#endif  // VMWIRE_VMM_RUN_SUMMARY_H_
