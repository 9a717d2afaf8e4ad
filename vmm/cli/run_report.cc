#include "vmm/cli/run_report.h"

#include "absl/strings/str_format.h"
#include "vmm/cli/duration.h"

namespace vmwire {
namespace {

std::string Line(const std::string& text) { return "vmwire: " + text + "\n"; }

std::string WhoFailed(int status) {
  switch (status) {
    case kExitGuestDied:
      return "the guest died";
    case kExitHostLacks:
      return "the host failed the guest";
    default:
      return "the monitor failed";
  }
}

std::string DescribeInterruption(const RunEnd& end) {
  switch (end.stop_reason) {
    case StopRequest::kTimeLimit:
      return Line(absl::StrFormat("the time limit is over, after %s", FormatDuration(end.elapsed)));
    case StopRequest::kEscapeKey:
      return Line("the machine was ended from the keyboard");
    default:
      return "";
  }
}

std::string DescribeOutcome(const RunEnd& end) {
  const RunOutcome& outcome = end.outcome;
  switch (outcome.kind) {
    case RunOutcome::Kind::kInterrupted:
      return DescribeInterruption(end) + outcome.report;
    case RunOutcome::Kind::kHalted:
      // Many a kernel that panics ends so.
      if (end.stop_reason != StopRequest::kAsleep) return "";
      return Line("the guest halted with interrupts off: nothing can wake it");
    case RunOutcome::Kind::kReset:
      return Line(
          "the guest reset its machine, which ends the run; a kernel does that when it panics, "
          "too");
    case RunOutcome::Kind::kExited:
      if (outcome.code <= static_cast<uint32_t>(kMaxGuestCode)) return "";
      return Line(absl::StrFormat("the guest's code %d is above %d and is given as %d",
                                  outcome.code, kMaxGuestCode, kMaxGuestCode));
    default:
      if (outcome.report.empty()) return "";
      return Line(absl::StrFormat("%s: %s", WhoFailed(ExitStatusOf(outcome)),
                                  ToString(outcome.kind))) +
             outcome.report;
  }
}

std::string AbsentLine(const char* what, const AbsentAccess& access) {
  std::string line = absl::StrFormat("  %-4s  0x%-16x  %4d  %-5s  %10d", what, access.address,
                                     access.size, access.is_write ? "write" : "read", access.count);
  if (access.is_write) absl::StrAppendFormat(&line, "  0x%x", access.first_value);
  return line + "\n";
}

}  // namespace

std::string DescribeEnd(const RunEnd& end) {
  if (end.expectation == Expectation::kSeen) {
    return Line(absl::StrFormat("expected text seen after %s", FormatDuration(end.elapsed)));
  }
  std::string text = DescribeOutcome(end);
  if (end.expectation == Expectation::kMissing) text += Line("the expected text did not come");
  return text;
}

std::string AbsentTable(const std::vector<AbsentAccess>& ports,
                        const std::vector<AbsentAccess>& mmio) {
  if (ports.empty() && mmio.empty()) return Line("the guest touched nothing that is not there");
  std::string table = Line("the guest touched what is not there (reads gave all ones):");
  table += "  what  address             size  access      times  first value\n";
  for (const AbsentAccess& access : ports) table += AbsentLine("port", access);
  for (const AbsentAccess& access : mmio) table += AbsentLine("mmio", access);
  if (ports.size() >= kMaxAbsentAccesses || mmio.size() >= kMaxAbsentAccesses) {
    absl::StrAppendFormat(&table, "  (only the first %d different ones of each are kept)\n",
                          kMaxAbsentAccesses);
  }
  return table;
}

std::string DescribeCompleted(const std::map<std::string, uint64_t>& completed) {
  uint64_t total = 0;
  std::string list;
  for (const auto& [mnemonic, count] : completed) {
    total += count;
    absl::StrAppendFormat(&list, "%s%s %d", list.empty() ? "" : ", ", mnemonic, count);
  }
  if (total == 0) return "";
  return Line(absl::StrFormat("%d instruction%s done in KVM's stead: %s", total,
                              total == 1 ? " was" : "s were", list));
}

}  // namespace vmwire
