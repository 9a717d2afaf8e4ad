// The guest's wish that its machine ends: what the exit port, a power-off, a reset and the like
// leave here, and what the run loop looks at after each access to a device.
//
// Invariants: the first request stays; later ones are ignored.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_EXIT_LATCH_H_
#define VMWIRE_DEVICES_EXIT_LATCH_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "memory/mutex.h"

namespace vmwire {

struct ExitRequest {
  enum class Kind {
    kExit,       // The guest ends with `code` of its own.
    kException,  // Its exception stubs report the vector `code`.
    kPowerOff,   // It switched the machine off.
    kReset,      // It reset the machine.
  };
  Kind kind;
  uint32_t code = 0;

  friend bool operator==(const ExitRequest&, const ExitRequest&) = default;
};

class ExitLatch {
 public:
  ExitLatch() = default;
  ExitLatch(const ExitLatch&) = delete;
  ExitLatch& operator=(const ExitLatch&) = delete;

  void Request(const ExitRequest& request) {
    const MutexLock lock(mutex_);
    if (request_.has_value()) return;
    request_ = request;
    requested_.store(true, std::memory_order_release);
  }

  // Cheap where there is none, as after nearly every access.
  std::optional<ExitRequest> request() const {
    if (!requested_.load(std::memory_order_acquire)) return std::nullopt;
    const MutexLock lock(mutex_);
    return request_;
  }

 private:
  mutable Mutex mutex_;
  std::atomic<bool> requested_ = false;
  std::optional<ExitRequest> request_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_EXIT_LATCH_H_
