// A request to end a run, from a signal handler or from any thread.
//
// The thread of each vCPU is kicked with a signal whose handler, on that thread, sets kvm_run's
// immediate_exit. So a request that comes just before KVM_RUN is not lost: KVM_RUN then returns at
// once (api.rst, "immediate_exit"). And no other thread ever writes to kvm_run, which may be gone
// by then.
//
// Invariants: the first request stays; later ones change nothing.
// Thread safety: Stop may be called from any thread and from a signal handler; the rest from any
// thread, a Target from the thread that runs its vCPU.
#ifndef VMWIRE_VMM_STOP_REQUEST_H_
#define VMWIRE_VMM_STOP_REQUEST_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "vmm/kvm_abi.h"
#include "vmm/machine_config.h"

namespace vmwire {

class StopRequest {
 public:
  // Reasons that are no signal's number.
  static constexpr int kEscapeKey = 0;      // A person has ended it from the keyboard.
  static constexpr int kTimeLimit = -2;     // The time that the run was given is over.
  static constexpr int kExpected = -3;      // What was waited for has come.
  static constexpr int kGuestEnded = -4;    // A vCPU has ended the run, or none could begin it.
  static constexpr int kAsleep = -5;        // No CPU of the guest can ever wake.
  static constexpr int kOutputFailed = -6;  // What the guest prints cannot be written.

  StopRequest() = default;
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;

  // Asks the run to end. `reason` is why: a signal's number, or one of those above.
  // Async-signal-safe; leaves errno.
  void Stop(int reason) noexcept;

  // Makes every target come out of KVM_RUN once, without asking for the end. Async-signal-safe;
  // leaves errno.
  void Kick() noexcept;

  bool requested() const { return reason_.load() != kNone; }
  // REQUIRES: requested().
  int reason() const { return reason_.load(); }

  // To be called on a target's thread after an interruption, before it looks at requested() and
  // runs on: no kick but a request is remembered.
  static void Rearm(kvm_run& run) noexcept;

  // While one of these lives, its thread is one that Stop kicks, and `run` the page that it marks
  // there. Uses the signal SIGRTMIN: installs a handler, and lets the signal through on this thread
  // meanwhile.
  class Target {
   public:
    // REQUIRES: this thread has no other target, `request` fewer than kMaxCpus; both arguments
    // outlive this object.
    Target(StopRequest& request, kvm_run& run);
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target();

   private:
    std::atomic<pid_t>* slot_;
    bool was_blocked_;
  };

 private:
  static constexpr int kNone = -1;
  static_assert(std::atomic<int>::is_always_lock_free, "used in signal handlers");

  // The entry that now holds `thread`, which had none.
  std::atomic<pid_t>& Claim(pid_t thread);

  std::atomic<int> reason_ = kNone;
  std::array<std::atomic<pid_t>, kMaxCpus> threads_ = {};  // To be kicked; 0: free.
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_STOP_REQUEST_H_
