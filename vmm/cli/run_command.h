// `vmwire run IMAGE`: launches a guest and runs it to its end.
//
// The guest's output goes to stdout; everything else, errors and figures, to stderr. SIGINT and
// SIGTERM end the wiring or the run, everything is given back, and the process then dies of that
// signal.
//
// Invariants: when it returns, the machine is gone and the signal handlers are as before.
// Thread safety: called once, from the main thread.
#ifndef VMWIRE_VMM_CLI_RUN_COMMAND_H_
#define VMWIRE_VMM_CLI_RUN_COMMAND_H_

#include "vmm/cli/run_options.h"
#include "vmm/timeline.h"

namespace vmwire {

// Returns the exit status (exit_status.h). `timeline` began when the command did.
int RunCommand(const RunOptions& options, Timeline& timeline);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_RUN_COMMAND_H_
