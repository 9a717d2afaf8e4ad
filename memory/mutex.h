// A mutex and a condition that both checkers understand: clang's thread-safety analysis, by its
// annotations, and ThreadSanitizer, which does not see into the absl::Mutex of Debian, since that
// is built without it.
//
// Both can be taken over by SyncHooks, so that a test decides which thread runs next.
//
// Invariants: as std::mutex and std::condition_variable; not recursive.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_MUTEX_H_
#define VMWIRE_MEMORY_MUTEX_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "absl/base/thread_annotations.h"

namespace vmwire {

// A point of time at which a wait gives up; nullopt: never.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;

// What may stand under every lock and wait of the process instead of the C++ library's: a scheduler
// of the tests. Locks and conditions are told apart by their addresses.
class SyncHooks {
 public:
  virtual ~SyncHooks() = default;
  virtual void Lock(const void* mutex) = 0;
  virtual void Unlock(const void* mutex) = 0;
  // Gives up `mutex`, sleeps, takes it again. False: the deadline came first.
  virtual bool Wait(const void* condition, const void* mutex, bool has_deadline) = 0;
  virtual void NotifyAll(const void* condition) = 0;

  // Null, the default: none. REQUIRES: no lock is held and no other thread uses one.
  static void Install(SyncHooks* hooks) { installed_.store(hooks, std::memory_order_release); }
  static SyncHooks* Installed() { return installed_.load(std::memory_order_acquire); }

 private:
  static inline std::atomic<SyncHooks*> installed_ = nullptr;
};

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    if (SyncHooks* hooks = SyncHooks::Installed(); hooks != nullptr) [[unlikely]] {
      return hooks->Lock(this);
    }
    mutex_.lock();
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    if (SyncHooks* hooks = SyncHooks::Installed(); hooks != nullptr) [[unlikely]] {
      return hooks->Unlock(this);
    }
    mutex_.unlock();
  }

 private:
  friend class Condition;
  std::mutex mutex_;
};

// Holds a mutex for as long as it lives.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.Lock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }

 private:
  Mutex& mutex_;
};

class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  // Gives up `mutex`, sleeps until a NotifyAll (or for no reason), and takes it again. False: the
  // deadline came first.
  bool Wait(Mutex& mutex, const Deadline& deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (SyncHooks* hooks = SyncHooks::Installed(); hooks != nullptr) [[unlikely]] {
      return hooks->Wait(this, &mutex, deadline.has_value());
    }
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    bool in_time = true;
    if (deadline.has_value()) {
      in_time = condition_.wait_until(lock, *deadline) == std::cv_status::no_timeout;
    } else {
      condition_.wait(lock);
    }
    lock.release();
    return in_time;
  }

  void NotifyAll() {
    if (SyncHooks* hooks = SyncHooks::Installed(); hooks != nullptr) [[unlikely]] {
      return hooks->NotifyAll(this);
    }
    condition_.notify_all();
  }

 private:
  std::condition_variable condition_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_MUTEX_H_
