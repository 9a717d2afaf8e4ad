// Notices that a guest sleeps and nothing can wake it: every CPU has executed HLT with interrupts
// off, or waits for a start that nobody is left to give. With KVM's interrupt controller such a HLT
// never comes back from KVM_RUN, and many a small kernel ends so.
//
// A thread kicks the vCPUs now and then; each answers, on its own thread, how it stands. Only when
// all have answered so in two rounds running, is the run asked to end with StopRequest::kAsleep:
// one CPU may have woken another between the two answers of one round.
//
// A CPU that has halted with interrupts off is asleep for ever only if the guest has wired no
// interrupt as an NMI that could wake it (nmi_wiring.h).
//
// Invariants: a guest of which any CPU runs, has interrupts on, or may get an NMI is never stopped.
// Lock order: mutex_ is a leaf.
// Thread safety: made and destroyed by one thread; Answer is called from the vCPUs' threads.
#ifndef VMWIRE_VMM_SLEEP_WATCH_H_
#define VMWIRE_VMM_SLEEP_WATCH_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "memory/mutex.h"
#include "vmm/stop_request.h"
#include "vmm/vcpu.h"

namespace vmwire {

// True if the vCPU sleeps with interrupts off and no NMI to come, or waits for INIT or SIPI; false
// if nothing is known. REQUIRES: called on the thread that runs it, while it does not run.
bool SleepsForEver(const Vcpu& vcpu);

// The rounds of a watch, without clock and threads.
//
// Thread safety: thread-compatible.
class SleepRounds {
 public:
  explicit SleepRounds(size_t cpus) : asleep_(cpus, false) {}

  // What the vCPU `index` says in this round.
  void Answer(size_t index, bool sleeps_for_ever) { asleep_[index] = sleeps_for_ever; }
  // Ends a round and begins the next. True: in this one and the one before, all have answered, and
  // all sleep for ever.
  bool End();

 private:
  std::vector<bool> asleep_;  // Of those that have answered in this round.
  uint32_t rounds_asleep_ = 0;
};

class SleepWatch {
 public:
  static constexpr std::chrono::milliseconds kInterval{500};

  // Watches `cpus` vCPUs, which are the targets of `stop`. Throws std::system_error if there is no
  // thread. REQUIRES: `stop` outlives the watch; at least one vCPU.
  SleepWatch(StopRequest& stop, size_t cpus, std::chrono::milliseconds interval = kInterval);
  SleepWatch(const SleepWatch&) = delete;
  SleepWatch& operator=(const SleepWatch&) = delete;
  ~SleepWatch();

  // The vCPU `index` was interrupted, and stands so.
  void Answer(size_t index, bool sleeps_for_ever) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Watch() ABSL_LOCKS_EXCLUDED(mutex_);

  StopRequest& stop_;
  const std::chrono::milliseconds interval_;
  Mutex mutex_;
  Condition changed_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  SleepRounds rounds_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_SLEEP_WATCH_H_
