// The guest's wish that its machine ends: what the exit port, a power-off, a reset and the like
// leave here, and what the run loop looks at after each access to a device.
//
// Invariants: the first request stays, and whose it was; later ones are ignored.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_EXIT_LATCH_H_
#define VMWIRE_DEVICES_EXIT_LATCH_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>

#include "memory/mutex.h"

namespace vmwire {

struct ExitRequest {
  enum class Kind {
    kExit,       // The guest ends with `code` of its own.
    kException,  // Exception stubs report the vector `code`, of the CPU that makes the request.
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

  // REQUIRES, of kException: called on the thread of the vCPU that has it, which alone acts on it.
  void Request(const ExitRequest& request) {
    const MutexLock lock(mutex_);
    if (request_.has_value()) return;
    request_ = request;
    requester_ = std::this_thread::get_id();
    requested_.store(true, std::memory_order_release);
  }

  // Cheap where there is none, as after nearly every access.
  std::optional<ExitRequest> request() const {
    if (!requested_.load(std::memory_order_acquire)) return std::nullopt;
    const MutexLock lock(mutex_);
    return request_;
  }

  // True if there is a request, and the calling thread made it.
  bool is_of_this_thread() const {
    const MutexLock lock(mutex_);
    return requester_ == std::this_thread::get_id();
  }

 private:
  mutable Mutex mutex_;
  std::atomic<bool> requested_ = false;
  std::optional<ExitRequest> request_ ABSL_GUARDED_BY(mutex_);
  std::thread::id requester_ ABSL_GUARDED_BY(mutex_);  // That of no thread: nobody's.
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_EXIT_LATCH_H_
