#include "memory/wait_queue.h"

#include <atomic>
#include <utility>

#include "memory/check.h"

namespace vmwire {

// One thread's wait.
class WaitQueue::Waiter {
 public:
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    woken_ = true;
    condition_.NotifyAll();
  }
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_) {
    stop_began_ = true;
    const MutexLock lock(mutex_);
    stopped_ = true;
    condition_.NotifyAll();
  }
  void Sleep(const Deadline& deadline) ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    bool in_time = true;
    while (!woken_ && !stopped_ && in_time) in_time = condition_.Wait(mutex_, deadline);
    // The end of the stop_callback waits for a Stop that began, too, but where no SyncHooks see it.
    while (stop_began_ && !stopped_) condition_.Wait(mutex_, std::nullopt);
  }

  // Guarded by the queue's mutex.
  Waiter* next = nullptr;
  bool queued = true;  // The queue itself may be gone once this is false.

 private:
  std::atomic<bool> stop_began_ = false;
  Mutex mutex_;
  Condition condition_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::Status WaitLimits::Check(const std::string& what) const {
  if (stop.stop_requested()) return absl::CancelledError("stopped while " + what);
  if (deadline.has_value() && std::chrono::steady_clock::now() >= *deadline) {
    return absl::DeadlineExceededError("the time ran out while " + what);
  }
  return absl::OkStatus();
}

WaitQueue::~WaitQueue() { VMWIRE_CHECK(empty(), "a wait queue dies under its waiters"); }

absl::Status WaitQueue::Wait(Mutex& mutex, const WaitLimits& limits, const std::string& what) {
  // A stop that came before is found without sleeping, whatever the state of what is waited for.
  if (limits.stop.stop_requested()) return absl::CancelledError("stopped while " + what);
  Waiter waiter;
  waiter.next = std::exchange(first_, &waiter);
  mutex.Unlock();
  {
    const std::stop_callback stop(limits.stop, [&waiter] { waiter.Stop(); });
    waiter.Sleep(limits.deadline);
  }
  mutex.Lock();
  if (!waiter.queued) return absl::OkStatus();
  Remove(&waiter);
  if (limits.stop.stop_requested()) return absl::CancelledError("stopped while " + what);
  return absl::DeadlineExceededError("the time ran out while " + what);
}

void WaitQueue::WakeAll() {
  // The caller's mutex keeps each waiter alive until it is given up.
  for (Waiter* waiter = std::exchange(first_, nullptr); waiter != nullptr; waiter = waiter->next) {
    waiter->queued = false;
    waiter->Wake();
  }
}

void WaitQueue::Remove(const Waiter* waiter) {
  Waiter** link = &first_;
  while (*link != waiter) link = &(*link)->next;
  *link = waiter->next;
}

}  // namespace vmwire
