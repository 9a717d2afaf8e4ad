#include "vmm/run_summary.h"

#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "vmm/exit_reason.h"

namespace vmwire {
namespace {

constexpr double kMiBBytes = 1 << 20;

// Private pages of this process, as the kernel counts them; nullopt if it does not say.
std::optional<uint64_t> PrivateBytes() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::optional<uint64_t> bytes;
  std::string line;
  while (std::getline(rollup, line)) {
    unsigned long long kib = 0;
    if (sscanf(line.c_str(), "Private_Clean: %llu", &kib) == 1 ||
        sscanf(line.c_str(), "Private_Dirty: %llu", &kib) == 1) {
      bytes = bytes.value_or(0) + kib * 1024;
    }
  }
  return bytes;
}

double Milliseconds(Timeline::Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

std::vector<std::pair<std::string, uint64_t>> ExitsByReason(const RunStats& run) {
  std::vector<std::pair<std::string, uint64_t>> exits;
  for (uint32_t reason = 0; reason < kCountedExitReasons; ++reason) {
    if (run.exits.of(reason) != 0) exits.emplace_back(ExitReasonName(reason), run.exits.of(reason));
  }
  if (run.exits.of(kCountedExitReasons) != 0)
    exits.emplace_back("other", run.exits.of(kCountedExitReasons));
  if (run.interruptions != 0) exits.emplace_back("interrupted", run.interruptions);
  return exits;
}

std::string Row(const std::string& name, const std::string& value) {
  return absl::StrFormat("  %-30s %s\n", name, value);
}

std::string MiB(uint64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / kMiBBytes);
}

std::string TimeRows(const Timeline& timeline) {
  std::string rows;
  Timeline::Clock::duration before{};
  for (size_t i = 0; i < kStepCount; ++i) {
    const auto elapsed = timeline.Elapsed(static_cast<Step>(i));
    if (!elapsed.has_value()) continue;
    absl::StrAppend(&rows, Row(absl::StrCat("until ", kStepNames[i]),
                               absl::StrFormat("%10.3f ms   (+%.3f)", Milliseconds(*elapsed),
                                               Milliseconds(*elapsed - before))));
    before = *elapsed;
  }
  return rows;
}

const char* JsonName(ProofVerdict verdict) {
  switch (verdict) {
    case ProofVerdict::kProven:
      return "proven";
    case ProofVerdict::kDisproven:
      return "disproven";
    case ProofVerdict::kNotProvable:
      break;
  }
  return "not_provable";
}

nlohmann::ordered_json PartsJson(const std::vector<PartProof>& parts) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const PartProof& part : parts) {
    json[ToString(part.part)] = {{"verdict", JsonName(part.verdict)}, {"detail", part.detail}};
  }
  return json;
}

nlohmann::ordered_json ProofJson(const PinProof& proof) {
  nlohmann::ordered_json json = {{"verdict", JsonName(proof.verdict())}, {"seed", proof.seed}};
  json["ranges"] = nlohmann::ordered_json::array();
  for (const RangeProof& range : proof.ranges) {
    json["ranges"].push_back({{"range", range.name},
                              {"pages", range.host.pages()},
                              {"level", ToString(range.level)},
                              {"backing", ToString(range.backing)},
                              {"verdict", JsonName(range.verdict())},
                              {"parts", PartsJson(range.parts)}});
  }
  json["process"] = PartsJson(proof.process);
  return json;
}

}  // namespace

RunSummary Summarize(const MachineConfig& config, const Machine& machine, const HostMemory& host,
                     const Timeline& timeline) {
  RunSummary summary{.config = config, .timeline = timeline, .run = machine.run_stats()};
  summary.wired_bytes = machine.wired_bytes();
  summary.devices = machine.SummarizeDevices();
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    summary.minor_faults = static_cast<uint64_t>(usage.ru_minflt);
    summary.major_faults = static_cast<uint64_t>(usage.ru_majflt);
  }
  if (const absl::StatusOr<HostUsage> guest = host.Usage(machine.guest_host_range()); guest.ok()) {
    summary.guest_memory = *guest;
    if (const std::optional<uint64_t> all = PrivateBytes();
        all.has_value() && *all >= guest->resident_bytes) {
      summary.beyond_guest_memory = *all - guest->resident_bytes;
    }
  }
  return summary;
}

std::string SummaryTable(const RunSummary& summary) {
  std::string table = "time since the start of the command\n" + TimeRows(summary.timeline);
  if (summary.config.cpus > 1)
    absl::StrAppend(&table, "CPUs\n", Row("of the guest", absl::StrCat(summary.config.cpus)));
  absl::StrAppend(&table, "memory\n", Row("guest memory", MiB(summary.config.memory_bytes)));
  absl::StrAppend(&table, Row(absl::StrCat("wired, ", ToString(summary.config.pin_level)),
                              MiB(summary.wired_bytes)));
  if (summary.guest_memory.has_value()) {
    const HostUsage& guest = *summary.guest_memory;
    absl::StrAppend(&table, Row("on the host: resident", MiB(guest.resident_bytes)));
    const double share = guest.resident_bytes == 0 ? 0
                                                   : 100 * static_cast<double>(guest.huge_bytes) /
                                                         static_cast<double>(guest.resident_bytes);
    absl::StrAppend(&table, Row("on the host: in huge pages",
                                absl::StrFormat("%s (%.0f %%)", MiB(guest.huge_bytes), share)));
    absl::StrAppend(&table, Row("on the host: locked", MiB(guest.locked_bytes)));
  }
  if (summary.beyond_guest_memory.has_value()) {
    absl::StrAppend(&table,
                    Row("monitor's own, beyond the guest", MiB(*summary.beyond_guest_memory)));
  }
  absl::StrAppend(&table,
                  Row("page faults, minor and major",
                      absl::StrFormat("%d, %d", summary.minor_faults, summary.major_faults)));
  for (const DeviceSummary& device : summary.devices) {
    absl::StrAppend(&table, "device ", device.name, "\n");
    for (const auto& [name, count] : device.counters)
      absl::StrAppend(&table, Row(name, absl::StrCat(count)));
  }
  absl::StrAppend(&table, "exits by reason\n");
  for (const auto& [name, count] : ExitsByReason(summary.run))
    absl::StrAppend(&table, Row(name, absl::StrCat(count)));
  if (!summary.run.completed.empty()) absl::StrAppend(&table, "completed in KVM's stead\n");
  for (const auto& [name, count] : summary.run.completed)
    absl::StrAppend(&table, Row(name, absl::StrCat(count)));
  return table;
}

std::string SummaryJson(const RunSummary& summary) {
  nlohmann::ordered_json json;
  for (size_t i = 0; i < kStepCount; ++i) {
    const auto elapsed = summary.timeline.Elapsed(static_cast<Step>(i));
    std::string name = kStepNames[i];
    if (name == "first exit") name = "first_exit";
    if (elapsed.has_value()) {
      json["time_ns"][name] =
          std::chrono::duration_cast<std::chrono::nanoseconds>(*elapsed).count();
    }
  }
  json["guest_memory_bytes"] = summary.config.memory_bytes;
  json["cpus"] = summary.config.cpus;
  json["policy"] = std::string(ToString(summary.config.wire));
  json["pin_level"] = ToString(summary.config.pin_level);
  json["wired_bytes"] = summary.wired_bytes;
  if (summary.guest_memory.has_value()) {
    json["host"] = {{"resident_bytes", summary.guest_memory->resident_bytes},
                    {"huge_bytes", summary.guest_memory->huge_bytes},
                    {"locked_bytes", summary.guest_memory->locked_bytes}};
  }
  if (summary.beyond_guest_memory.has_value())
    json["beyond_guest_memory_bytes"] = *summary.beyond_guest_memory;
  json["page_faults"] = {{"minor", summary.minor_faults}, {"major", summary.major_faults}};
  if (!summary.devices.empty()) json["devices"] = nlohmann::ordered_json::array();
  for (const DeviceSummary& device : summary.devices) {
    nlohmann::ordered_json entry = {{"name", device.name}};
    for (const auto& [name, count] : device.counters) entry["counters"][name] = count;
    json["devices"].push_back(std::move(entry));
  }
  json["exits"] = nlohmann::ordered_json::object();
  for (const auto& [name, count] : ExitsByReason(summary.run)) json["exits"][name] = count;
  for (const auto& [name, count] : summary.run.completed) json["completed"][name] = count;
  if (summary.proof.has_value()) json["proof"] = ProofJson(*summary.proof);
  return json.dump() + "\n";
}

}  // namespace vmwire
