// An eventfd: how threads, KVM and io_uring wake each other.
//
// Invariants: the descriptor is open as long as the object lives, but not once it is moved from.
// Thread safety: Signal and Drain from any thread.
#ifndef VMWIRE_DEVICES_EVENT_FD_H_
#define VMWIRE_DEVICES_EVENT_FD_H_

#include <cstddef>
#include <initializer_list>
#include <utility>

#include "absl/status/statusor.h"

namespace vmwire {

class [[nodiscard]] EventFd {
 public:
  // Neither inherited nor blocking. ResourceExhausted: too many files.
  static absl::StatusOr<EventFd> Create();

  EventFd(EventFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  EventFd& operator=(EventFd&& other) noexcept;
  EventFd(const EventFd&) = delete;
  EventFd& operator=(const EventFd&) = delete;
  ~EventFd();

  int fd() const { return fd_; }

  // Makes it readable. Async-signal-safe.
  void Signal() const;
  // Makes it unreadable. True if it was readable.
  bool Drain() const;

 private:
  explicit EventFd(int fd) : fd_(fd) {}

  int fd_;
};

// As EventFd::Drain, for who has the descriptor only.
bool DrainEventFd(int fd);

inline constexpr size_t kMostWaitFds = 8;
// Waits until one of `fds` is readable (or has an error), however long it takes. Those that are
// negative are passed over. REQUIRES: at most kMostWaitFds.
void WaitReadable(std::initializer_list<int> fds);
// Whether `fd` is readable now.
bool IsReadable(int fd);

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_EVENT_FD_H_
