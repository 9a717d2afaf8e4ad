// The times of the C API: how long a call may take, in nanoseconds, for ever if negative.
#ifndef VMWIRE_MEMORY_C_API_WIRE_TIME_H_
#define VMWIRE_MEMORY_C_API_WIRE_TIME_H_

#include <chrono>
#include <cstdint>

#include "memory/wait_queue.h"

namespace vmwire {

inline WaitLimits WaitUpTo(int64_t timeout_ns) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point now = Clock::now();
  const std::chrono::nanoseconds timeout(timeout_ns);
  // A time that the clock will never reach is none.
  if (timeout_ns < 0 || timeout > Clock::time_point::max() - now) return {};
  return {.deadline = now + timeout};
}

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_C_API_WIRE_TIME_H_
