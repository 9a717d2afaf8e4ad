#include "vmm/cli/exit_status.h"

#include <algorithm>

#include "vmm/stop_request.h"

namespace vmwire {

int ExitStatusOf(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kResourceExhausted:
      return kExitBadInput;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kFailedPrecondition:
      return kExitHostLacks;
    default:
      return kExitMonitorFailed;
  }
}

int ExitStatusOf(const RunOutcome& outcome) {
  switch (outcome.kind) {
    case RunOutcome::Kind::kHalted:
    case RunOutcome::Kind::kPoweredOff:
      return kExitOk;
    case RunOutcome::Kind::kReset:
      return kExitGuestReset;
    case RunOutcome::Kind::kExited:
      if (outcome.code == 0) return kExitOk;
      return kExitGuestCodeBase + static_cast<int>(std::min<uint32_t>(outcome.code, kMaxGuestCode));
    case RunOutcome::Kind::kGuestException:
    case RunOutcome::Kind::kShutdown:
    case RunOutcome::Kind::kInternalError:
    case RunOutcome::Kind::kEntryFailed:
    case RunOutcome::Kind::kUnhandledExit:
      return kExitGuestDied;
    case RunOutcome::Kind::kMemoryFault:
      return kExitHostLacks;
    case RunOutcome::Kind::kInterrupted:
    case RunOutcome::Kind::kRunFailed:
      return kExitMonitorFailed;
  }
  return kExitMonitorFailed;
}

int ExitStatusOf(const RunOutcome& outcome, Expectation expectation, int stop_reason) {
  if (expectation == Expectation::kSeen) return kExitOk;
  int status = ExitStatusOf(outcome);
  if (outcome.kind == RunOutcome::Kind::kInterrupted) {
    if (stop_reason == StopRequest::kTimeLimit) return kExitTimeLimit;
    if (stop_reason == StopRequest::kEscapeKey) status = kExitOk;
  }
  const bool ended_itself =
      status == kExitOk || status == kExitGuestReset || status > kExitGuestCodeBase;
  return expectation == Expectation::kMissing && ended_itself ? kExitTextMissing : status;
}

}  // namespace vmwire
