// The exit status of the vmwire command: one table, for every way in which a command can end.
//
//   0       the guest ended well
//   1       the monitor failed
//   2       usage or bad input
//   3       the host lacks or refuses something
//   4       the guest died: triple fault, unhandled exception, an instruction that KVM cannot run
//   5       the guest ended, and the text of --expect had not come
//   6       the guest reset its machine, as a kernel does that panics
//   16 + n  the guest's own code n, 1 to 100
//   124     the time of --timeout was over, as of timeout(1)
//
// A text of --expect that came makes it 0, whatever the guest did then. A run that a signal ended
// gives everything back and then dies of that signal, as a shell expects.
//
// Invariants: the same end gives the same status.
// Thread safety: no state.
#ifndef VMWIRE_VMM_CLI_EXIT_STATUS_H_
#define VMWIRE_VMM_CLI_EXIT_STATUS_H_

#include "absl/status/status.h"
#include "vmm/run_loop.h"

namespace vmwire {

inline constexpr int kExitOk = 0;
inline constexpr int kExitMonitorFailed = 1;
inline constexpr int kExitBadInput = 2;
inline constexpr int kExitHostLacks = 3;
inline constexpr int kExitGuestDied = 4;
inline constexpr int kExitTextMissing = 5;
inline constexpr int kExitGuestReset = 6;
inline constexpr int kExitGuestCodeBase = 16;
inline constexpr int kMaxGuestCode = 100;
inline constexpr int kExitTimeLimit = 124;

// Whether a text was waited for, and came.
enum class Expectation { kNone, kSeen, kMissing };

// Of an error before or while the machine runs. What was asked for and cannot be had (a limit too
// small, a malformed image) is bad input; what the host has not or does not allow is the host's.
int ExitStatusOf(const absl::Status& error);

// Of a guest that ran. A code above kMaxGuestCode counts as kMaxGuestCode.
int ExitStatusOf(const RunOutcome& outcome);

// The same, with what else decides: `stop_reason` is that of the StopRequest (a run that was ended
// by the escape key ended well).
int ExitStatusOf(const RunOutcome& outcome, Expectation expectation, int stop_reason);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_EXIT_STATUS_H_
