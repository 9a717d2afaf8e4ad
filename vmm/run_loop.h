// Runs a vCPU until its guest ends, dies or is stopped, and has devices answer meanwhile.
//
// Every exit reason of KVM is either served here (port I/O, MMIO, interruptions, a lowered TPR) or
// ends the run under its name. With KVM's interrupt controller in the kernel HLT is no exit: the
// vCPU sleeps in KVM_RUN until an interrupt or a stop request wakes it, for ever if interrupts are
// off, as a PC does. A guest ends itself through the exit port then.
//
// Invariants: what a guest does never ends the process; a run ends with exactly one outcome.
// Thread safety: Run is called on one thread, the vCPU's. StopRequest ends it from elsewhere.
#ifndef VMWIRE_VMM_RUN_LOOP_H_
#define VMWIRE_VMM_RUN_LOOP_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "devices/bus.h"
#include "devices/exit_port/exit_port.h"
#include "memory/guest_memory.h"
#include "vmm/exit_reason.h"
#include "vmm/stop_request.h"
#include "vmm/vcpu.h"

namespace vmwire {

struct RunOutcome {
  enum class Kind {
    kExited,          // The guest wrote `code` to the exit port.
    kHalted,          // The guest executed HLT, and has no interrupt controller.
    kGuestException,  // The guest's exception stubs reported `code`, a vector.
    kShutdown,        // Triple fault.
    kInternalError,   // KVM could not go on, such as with an instruction that it cannot emulate.
    kEntryFailed,     // The CPU refused the guest's state.
    kMemoryFault,     // The host could not give memory that the guest touched.
    kUnhandledExit,   // An exit that nothing here serves.
    kInterrupted,     // StopRequest; `code` is its signal, or 0.
    kRunFailed,       // KVM_RUN returned an error that is none of those above.
  };

  Kind kind;
  uint32_t code = 0;
  // Lines for a person: the reason, and for the guest's death its registers and the instruction at
  // RIP. Empty for kExited, kHalted and kInterrupted. For kGuestException it names the vector; who
  // knows the stack frame of the stubs can say more.
  std::string report;
};

// "exited", "triple fault", ...
std::string ToString(RunOutcome::Kind kind);

struct RunStats {
  ExitCounts exits;
  uint64_t interruptions = 0;  // Returns of KVM_RUN with EINTR.
  std::optional<std::chrono::steady_clock::time_point> first_exit;
};

class RunLoop {
 public:
  struct Machine {
    Vcpu& vcpu;
    Bus& ports;
    Bus& mmio;
    const ExitPort& exit_port;
    const GuestMemory& memory;
  };

  // REQUIRES: everything outlives the loop.
  RunLoop(const Machine& machine, StopRequest& stop) : machine_(machine), stop_(stop) {}
  RunLoop(const RunLoop&) = delete;
  RunLoop& operator=(const RunLoop&) = delete;

  // Runs until there is an outcome. REQUIRES: the vCPU's registers are set.
  RunOutcome Run();

  const RunStats& stats() const { return stats_; }

 private:
  // What is to be done after an exit: the outcome, or nothing and the guest goes on.
  std::optional<RunOutcome> HandleExit();
  std::optional<RunOutcome> HandlePortIo();
  std::optional<RunOutcome> HandleMmio();
  std::optional<RunOutcome> OutcomeOfRequest() const;
  RunOutcome OutcomeOfError(const absl::Status& status) const;
  // An outcome with DescribeReason and DescribeState as its report.
  RunOutcome Dead(RunOutcome::Kind kind) const;

  const Machine machine_;
  StopRequest& stop_;
  RunStats stats_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_RUN_LOOP_H_
