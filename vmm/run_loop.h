// Runs a vCPU until its guest ends, dies or is stopped, and has devices answer meanwhile.
//
// Every exit reason of KVM is either served here (port I/O, MMIO, interruptions, a lowered TPR) or
// ends the run under its name. With KVM's interrupt controller in the kernel HLT is no exit: the
// vCPU sleeps in KVM_RUN until an interrupt or a stop request wakes it; sleep_watch.h finds out
// that nothing will.
//
// Invariants: what a guest does never ends the process; a run ends with exactly one outcome.
// Thread safety: Run is called on one thread, the vCPU's. StopRequest ends it from elsewhere.
#ifndef VMWIRE_VMM_RUN_LOOP_H_
#define VMWIRE_VMM_RUN_LOOP_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "devices/bus.h"
#include "devices/exit_latch.h"
#include "memory/guest_memory.h"
#include "vmm/emulation/instruction_completer.h"
#include "vmm/exit_history.h"
#include "vmm/exit_reason.h"
#include "vmm/stop_request.h"
#include "vmm/vcpu.h"

namespace vmwire {

struct RunOutcome {
  enum class Kind {
    kExited,          // The guest wrote `code` to an exit port.
    kPoweredOff,      // The guest switched its machine off.
    kReset,           // The guest reset its machine.
    kHalted,          // The guest executed HLT, and nothing can wake it.
    kGuestException,  // The guest's exception stubs reported `code`, a vector.
    kShutdown,        // Triple fault.
    kInternalError,   // KVM could not go on, such as with an instruction that it cannot emulate.
    kEntryFailed,     // The CPU refused the guest's state.
    kMemoryFault,     // The host could not give memory that the guest touched.
    kUnhandledExit,   // An exit that nothing here serves.
    kInterrupted,     // StopRequest; `code` is its signal, or 0; its reason says more.
    kRunFailed,       // KVM_RUN returned an error that is none of those above.
  };

  Kind kind = Kind::kRunFailed;
  uint32_t code = 0;
  // Lines for a person: the reason, and for the guest's death the state of the CPU that died. Empty
  // for kExited, kPoweredOff, kReset, kHalted, and kInterrupted but by a time limit, where it is
  // the state of every CPU. For kGuestException it names the vector; who knows the stack frame of
  // the stubs can say more.
  std::string report = {};
  uint32_t cpu = 0;  // Whose outcome it is.
};

// "exited", "triple fault", ...
std::string ToString(RunOutcome::Kind kind);

struct RunStats {
  ExitCounts exits;
  uint64_t interruptions = 0;  // Returns of KVM_RUN with EINTR.
  std::optional<std::chrono::steady_clock::time_point> first_exit;
  // Instructions done in KVM's stead, by mnemonic.
  std::map<std::string, uint64_t> completed;

  // Adds what another vCPU did.
  void Add(const RunStats& other);
};

class RunLoop {
 public:
  struct Machine {
    Vcpu& vcpu;
    Bus& ports;
    Bus& mmio;
    const ExitLatch& exit_latch;
    const GuestMemory& memory;
    // Instructions that KVM gives up on are done here, where they can be.
    bool complete_emulation = false;
    InstructionCompleter::Trace completed = {};
    // The vCPU's number, for reports; nullopt: the machine has one only.
    std::optional<uint32_t> cpu = std::nullopt;
    // Called after each interruption, on the vCPU's thread; may be empty.
    std::function<void()> on_interruption = {};
  };

  // REQUIRES: everything outlives the loop.
  RunLoop(const Machine& machine, StopRequest& stop);
  RunLoop(const RunLoop&) = delete;
  RunLoop& operator=(const RunLoop&) = delete;

  // Runs until there is an outcome. REQUIRES: the vCPU's registers are set.
  RunOutcome Run();

  RunStats stats() const;
  // The state of the vCPU, and how it came there: lines of a report. REQUIRES: it does not run.
  std::string Describe() const;

 private:
  // What Run gives, but for whose it is.
  RunOutcome RunToOutcome();
  // Keeps the exit for a report.
  void Record();
  // What is to be done after an exit: the outcome, or nothing and the guest goes on.
  std::optional<RunOutcome> HandleExit();
  std::optional<RunOutcome> HandlePortIo();
  std::optional<RunOutcome> HandleMmio();
  // What a device was asked for during an access, by this vCPU or by another: the end of the run,
  // but for an exception of another, which that one tells.
  std::optional<RunOutcome> OutcomeOfRequest() const;
  RunOutcome OutcomeOfError(const absl::Status& status) const;
  // Does what KVM gave up on, if that is allowed and possible: nothing then. Else the end.
  std::optional<RunOutcome> HandleInternalError();
  // An outcome with the state of the vCPU as its report, and `refusal` in it, if there was one.
  RunOutcome Dead(RunOutcome::Kind kind,
                  const std::optional<std::string>& refusal = std::nullopt) const;

  const Machine machine_;
  StopRequest& stop_;
  ExitHistory history_;
  std::optional<InstructionCompleter> completer_;
  RunStats stats_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_RUN_LOOP_H_
