// A mutex that both checkers understand: clang's thread-safety analysis, by its annotations, and
// ThreadSanitizer, which does not see into the absl::Mutex of Debian, since that is built
// without it.
//
// Invariants: as std::mutex; not recursive.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_MUTEX_H_
#define VMWIRE_MEMORY_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace vmwire {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
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

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_MUTEX_H_
