// Ends a run when its time is over.
//
// Invariants: when the destructor has returned, nothing is stopped any more.
// Thread safety: one thread makes and destroys it.
#ifndef VMWIRE_VMM_CLI_TIME_LIMIT_H_
#define VMWIRE_VMM_CLI_TIME_LIMIT_H_

#include <chrono>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "memory/mutex.h"
#include "vmm/stop_request.h"

namespace vmwire {

class TimeLimit {
 public:
  // Asks `stop` for the end with StopRequest::kTimeLimit once `limit` has passed, from now on.
  // ResourceExhausted: no thread for it. REQUIRES: `stop` outlives the object.
  static absl::StatusOr<std::unique_ptr<TimeLimit>> Start(StopRequest& stop,
                                                          std::chrono::milliseconds limit);
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;
  ~TimeLimit();

 private:
  TimeLimit(StopRequest& stop, std::chrono::milliseconds limit)
      : stop_(stop), deadline_(std::chrono::steady_clock::now() + limit) {}
  void Wait();

  StopRequest& stop_;
  const std::chrono::steady_clock::time_point deadline_;
  Mutex mutex_;
  Condition ended_;
  bool is_over_ ABSL_GUARDED_BY(mutex_) = false;  // Nobody waits for the deadline any more.
  std::thread thread_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_TIME_LIMIT_H_
