// A request to end a run, from a signal handler or from any thread.
//
// The vCPU's thread is kicked with a signal whose handler, on that thread, sets kvm_run's
// immediate_exit. So a request that comes just before KVM_RUN is not lost: KVM_RUN then returns at
// once (api.rst, "immediate_exit"). And no other thread ever writes to kvm_run, which may be gone
// by then.
//
// Invariants: the first request stays; later ones change nothing.
// Thread safety: Stop may be called from any thread and from a signal handler; the rest from the
// thread that runs the vCPU.
#ifndef VMWIRE_VMM_STOP_REQUEST_H_
#define VMWIRE_VMM_STOP_REQUEST_H_

#include <sys/types.h>

#include <atomic>

#include "vmm/kvm_abi.h"

namespace vmwire {

class StopRequest {
 public:
  StopRequest() = default;
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;

  // Asks the run to end. `signal` is why, for RunOutcome: a signal's number, or 0 for none.
  // Async-signal-safe; leaves errno.
  void Stop(int signal) noexcept;

  bool requested() const { return signal_.load() != kNone; }
  // REQUIRES: requested().
  int signal() const { return signal_.load(); }

  // While one of these lives, its thread is the one that Stop kicks, and `run` the page that it
  // marks. Uses the signal SIGRTMIN: installs a handler, and lets the signal through on this thread
  // meanwhile.
  class Target {
   public:
    // REQUIRES: no other target of `request`, nor of this thread, is alive; both arguments outlive
    // this object.
    Target(StopRequest& request, kvm_run& run);
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target();

   private:
    StopRequest& request_;
    bool was_blocked_;
  };

 private:
  static constexpr int kNone = -1;
  static_assert(std::atomic<int>::is_always_lock_free, "used in signal handlers");

  std::atomic<int> signal_ = kNone;
  std::atomic<pid_t> thread_ = 0;  // To be kicked; 0 while there is no target.
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_STOP_REQUEST_H_
