// The vCPUs of a machine, run together: the first on the thread that calls, each other on one of
// its own, until one of them ends the run or a stop is requested.
//
// The other CPUs sleep in KVM_RUN until the guest starts them, by INIT and SIPI through the local
// APICs in the kernel.
//
// Invariants: a run ends with one outcome, the first that any vCPU had; no thread is left then.
// Lock order: mutex_ is a leaf.
// Thread safety: one thread at a time.
#ifndef VMWIRE_VMM_CPU_GROUP_H_
#define VMWIRE_VMM_CPU_GROUP_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "devices/bus.h"
#include "devices/exit_latch.h"
#include "memory/guest_memory.h"
#include "memory/mutex.h"
#include "vmm/run_loop.h"
#include "vmm/sleep_watch.h"
#include "vmm/stop_request.h"
#include "vmm/vcpu.h"

namespace vmwire {

class CpuGroup {
 public:
  struct Machine {
    Bus& ports;
    Bus& mmio;
    const ExitLatch& exit_latch;
    const GuestMemory& memory;
    bool complete_emulation = false;
    InstructionCompleter::Trace completed = {};
    // HLT sleeps in KVM_RUN: a guest that nothing can wake is found out (sleep_watch.h), and is
    // kHalted.
    bool has_irqchip = false;
  };

  // REQUIRES: everything outlives the group; there is at least one vCPU, and they are not run by
  // anybody else.
  CpuGroup(const Machine& machine, std::span<const std::unique_ptr<Vcpu>> vcpus, StopRequest& stop);
  CpuGroup(const CpuGroup&) = delete;
  CpuGroup& operator=(const CpuGroup&) = delete;

  // Runs until there is an outcome. Where there are several CPUs, its report says which it is of;
  // for a time limit it is that of all of them. A thread that cannot be had is kRunFailed.
  // REQUIRES: called once, with the registers of every vCPU set.
  RunOutcome Run();

  // Of all vCPUs together. REQUIRES: Run has returned.
  RunStats stats() const;

 private:
  // Runs one vCPU; leaves its outcome if it is the first, and stops the others.
  void RunOne(size_t index);
  void Leave(RunOutcome outcome);
  RunOutcome TakeOutcome();

  const bool has_irqchip_;
  StopRequest& stop_;
  std::vector<std::unique_ptr<RunLoop>> loops_;
  std::optional<SleepWatch> sleep_watch_;
  Mutex mutex_;
  std::optional<RunOutcome> first_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CPU_GROUP_H_
