// Turns the signals that end a process into a request for the end of the run, so that everything is
// given back first.
//
// Invariants: when the destructor has returned, the signals are handled as before.
// Thread safety: one lives at a time, made and destroyed by one thread.
#ifndef VMWIRE_VMM_CLI_STOP_ON_SIGNAL_H_
#define VMWIRE_VMM_CLI_STOP_ON_SIGNAL_H_

#include <signal.h>

#include <array>

#include "vmm/stop_request.h"

namespace vmwire {

class StopOnSignal {
 public:
  // While it lives, SIGINT, SIGTERM, SIGHUP and SIGQUIT call stop.Stop with their number, but for
  // those that the process was started with ignored, as a shell does for a background job and
  // nohup(1) for SIGHUP. REQUIRES: `stop` outlives the object.
  explicit StopOnSignal(StopRequest& stop);
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal();

 private:
  static constexpr std::array<int, 4> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

  std::array<struct sigaction, kSignals.size()> before_ = {};
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_STOP_ON_SIGNAL_H_
