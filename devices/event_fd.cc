#include "devices/event_fd.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "memory/check.h"
#include "memory/errno_status.h"

namespace vmwire {

absl::StatusOr<EventFd> EventFd::Create() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, "eventfd");
  return EventFd(fd);
}

EventFd& EventFd::operator=(EventFd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

EventFd::~EventFd() {
  if (fd_ >= 0) close(fd_);
}

void EventFd::Signal() const {
  const int error = errno;
  const uint64_t one = 1;
  // The one failure, a counter at its maximum, leaves it readable, which is what is wanted.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof(one));
  errno = error;
}

bool EventFd::Drain() const { return DrainEventFd(fd_); }

bool DrainEventFd(int fd) {
  uint64_t count = 0;
  return read(fd, &count, sizeof(count)) == sizeof(count);
}

void WaitReadable(std::initializer_list<int> fds) {
  std::array<pollfd, kMostWaitFds> polled;
  VMWIRE_CHECK(fds.size() <= polled.size(), "too many descriptors to wait for");
  nfds_t count = 0;
  for (const int fd : fds) polled[count++] = {fd, POLLIN, 0};
  // Again after a signal.
  while (poll(polled.data(), count, -1) < 0 && errno == EINTR) {
  }
}

bool IsReadable(int fd) {
  pollfd polled = {fd, POLLIN, 0};
  int ready;
  do {
    ready = poll(&polled, 1, 0);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace vmwire
