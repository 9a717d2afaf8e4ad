// What devices say of guests that break the rules: a count for each device, and lines for a person,
// of which a guest cannot cause many.
//
// Invariants: at most one line a second and device is given to the sink; those left out are counted
// in the next one. No call allocates more than its own line.
// Thread safety: thread-safe. The sink is called by one thread at a time.
#ifndef VMWIRE_DEVICES_DEVICE_LOG_H_
#define VMWIRE_DEVICES_DEVICE_LOG_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "memory/mutex.h"

namespace vmwire {

class DeviceLog {
 public:
  // Takes one line without its end.
  using Sink = std::function<void(const std::string& line)>;
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  // `clock` is for tests.
  explicit DeviceLog(Sink sink, Clock clock = std::chrono::steady_clock::now)
      : sink_(std::move(sink)), clock_(std::move(clock)) {}
  DeviceLog(const DeviceLog&) = delete;
  DeviceLog& operator=(const DeviceLog&) = delete;

  // The guest made `device` fail.
  void Report(const std::string& device, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);

  // Reports of `device` so far.
  uint64_t errors(const std::string& device) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct PerDevice {
    uint64_t errors = 0;
    uint64_t unsaid = 0;  // Since the last line.
    std::chrono::steady_clock::time_point last_line = {};
  };

  const Sink sink_;
  const Clock clock_;
  mutable Mutex mutex_;
  std::map<std::string, PerDevice> devices_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DEVICE_LOG_H_
