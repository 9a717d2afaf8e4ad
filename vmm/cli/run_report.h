// What is said on stderr once a guest has run.
//
// Invariants: lines are ended.
// Thread safety: no state.
#ifndef VMWIRE_VMM_CLI_RUN_REPORT_H_
#define VMWIRE_VMM_CLI_RUN_REPORT_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "devices/bus.h"
#include "vmm/cli/exit_status.h"
#include "vmm/run_loop.h"

namespace vmwire {

// How a run ended, and what was asked of it.
struct RunEnd {
  RunOutcome outcome = {};
  Expectation expectation = Expectation::kNone;
  int stop_reason = StopRequest::kGuestEnded;  // Why it was stopped, if it was.
  std::chrono::milliseconds elapsed{0};  // From the start of the run, or to the expected text.
};

// What a person is told of it: nothing of a guest that ended well. The first line begins with
// "vmwire: ", that of its report, if there is one, follow.
std::string DescribeEnd(const RunEnd& end);

// A table of what no device answered: "--trace io".
std::string AbsentTable(const std::vector<AbsentAccess>& ports,
                        const std::vector<AbsentAccess>& mmio);

// "3 instructions were done in KVM's stead: clac 1, stac 2\n"; empty if there were none.
std::string DescribeCompleted(const std::map<std::string, uint64_t>& completed);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_RUN_REPORT_H_
