// RLIMIT_MEMLOCK as a process without privileges meets it, for the tests on the real kernel.
//
// Thread safety: the limit is the process's and the capability the thread's, so one at a time, on
// the thread that locks.
#ifndef VMWIRE_TESTS_SUPPORT_MEMLOCK_LIMIT_H_
#define VMWIRE_TESTS_SUPPORT_MEMLOCK_LIMIT_H_

#include <sys/resource.h>

#include <cstdint>

#include "absl/status/status.h"

namespace vmwire {

// While it lives, this thread lacks CAP_IPC_LOCK and the soft RLIMIT_MEMLOCK is what Set said.
class MemlockLimit {
 public:
  MemlockLimit();
  MemlockLimit(const MemlockLimit&) = delete;
  MemlockLimit& operator=(const MemlockLimit&) = delete;
  ~MemlockLimit();

  // PermissionDenied, InvalidArgument: the hard limit is below `bytes`.
  absl::Status Set(uint64_t bytes);

 private:
  rlimit before_;
  bool had_capability_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_MEMLOCK_LIMIT_H_
