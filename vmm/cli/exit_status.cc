#include "vmm/cli/exit_status.h"

#include <algorithm>

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
      return kExitOk;
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

}  // namespace vmwire
