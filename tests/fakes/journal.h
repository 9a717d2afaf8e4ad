// What the fakes of the two host seams did, in one order, with a place to make any one call fail.
//
// Every fake call goes through Enter first. So a test can read the order of memory and KVM calls,
// fail the n-th of them, and check after each one that what must always hold does hold.
//
// Invariants: a call that was made to fail is in the journal, marked, and had no effect but where
// HostMemory says that a part may be done.
// Thread safety: thread-safe, but that observers are added before the first call; they run on the
// calling thread, outside the lock.
#ifndef VMWIRE_TESTS_FAKES_JOURNAL_H_
#define VMWIRE_TESTS_FAKES_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "memory/mutex.h"
#include "tests/support/scheduler.h"

namespace vmwire {

class Journal {
 public:
  // The start of a call that can fail: the error that FailNth asked for, or OK. An entry that fails
  // ends in " FAILED".
  absl::Status Enter(const std::string& entry);
  // The start of a call that cannot fail (a release): never made to fail, nor counted by FailNth.
  void Note(const std::string& entry);
  // The end of a call: runs the observers.
  void Leave();

  // The n-th call of Enter from now, counted from 1, fails with `error` (an errno), and so do those
  // after it until `times` have; n == 0 switches this off.
  void FailNth(uint64_t n, int error, uint64_t times = 1);
  // True once that call has come.
  bool failed() const;

  // `observer` checks what must hold after every call.
  void AddObserver(std::function<void()> observer);

  std::vector<std::string> entries() const;
  // The entries that begin with `prefix`.
  std::vector<std::string> EntriesWith(const std::string& prefix) const;
  void Clear();

 private:
  mutable Mutex mutex_;
  std::vector<std::string> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t fail_in_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t fail_times_ ABSL_GUARDED_BY(mutex_) = 0;
  int error_ ABSL_GUARDED_BY(mutex_) = 0;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> observers_;
};

// Around each call of a fake: at its start another thread of a scenario may run, at its end the
// journal is left.
class JournalScope {
 public:
  explicit JournalScope(Journal& journal) : journal_(journal) {
    SchedulePoint("a call of the host");
  }
  JournalScope(const JournalScope&) = delete;
  JournalScope& operator=(const JournalScope&) = delete;
  ~JournalScope() { journal_.Leave(); }

 private:
  Journal& journal_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_FAKES_JOURNAL_H_
