// A queue of threads that wait for something a mutex guards; each wait may have a deadline and may
// be cancelled.
//
// A waiter is a node on its own thread's stack: to wait allocates nothing, and a wake-up reaches
// exactly those who were in the queue.
//
// Lock order: the caller's mutex, then that of a waiter (a leaf).
// Invariants: a waiter is in the queue until it is woken or gives up, both under the caller's
// mutex; so no wake-up is lost, and none reaches a waiter that has gone.
// Thread safety: every function needs the mutex that guards the queue, always the same one.
#ifndef VMWIRE_MEMORY_WAIT_QUEUE_H_
#define VMWIRE_MEMORY_WAIT_QUEUE_H_

#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "memory/mutex.h"

namespace vmwire {

// For how long a call may wait, and who may stop it.
struct WaitLimits {
  Deadline deadline = std::nullopt;
  std::stop_token stop = {};

  // DeadlineExceeded or Cancelled, saying `what` was given up, if that is so by now.
  absl::Status Check(const std::string& what) const;
};

class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  // REQUIRES: nobody waits.
  ~WaitQueue();

  // Sleeps until WakeAll, with `mutex` given up meanwhile. What was waited for is to be looked at
  // again afterwards. DeadlineExceeded, Cancelled: as WaitLimits::Check. `what` says what is waited
  // for.
  absl::Status Wait(Mutex& mutex, const WaitLimits& limits, const std::string& what)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  // Wakes everybody who waits.
  void WakeAll();

  bool empty() const { return first_ == nullptr; }

 private:
  class Waiter;

  // Takes `waiter` out. REQUIRES: it is in.
  void Remove(const Waiter* waiter);

  Waiter* first_ = nullptr;  // Those who wait, as a list linked through themselves.
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WAIT_QUEUE_H_
