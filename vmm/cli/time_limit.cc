#include "vmm/cli/time_limit.h"

#include <system_error>

#include "memory/errno_status.h"

namespace vmwire {

absl::StatusOr<std::unique_ptr<TimeLimit>> TimeLimit::Start(StopRequest& stop,
                                                            std::chrono::milliseconds limit) {
  std::unique_ptr<TimeLimit> timer(new TimeLimit(stop, limit));
  try {
    timer->thread_ = std::thread([raw = timer.get()] { raw->Wait(); });
  } catch (const std::system_error& error) {
    return ErrnoStatus(error.code().value(), "starting the thread of the time limit");
  }
  return timer;
}

TimeLimit::~TimeLimit() {
  {
    const MutexLock lock(mutex_);
    is_over_ = true;
  }
  ended_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void TimeLimit::Wait() {
  const MutexLock lock(mutex_);
  while (!is_over_) {
    if (ended_.Wait(mutex_, deadline_)) continue;
    stop_.Stop(StopRequest::kTimeLimit);
    return;
  }
}

}  // namespace vmwire
