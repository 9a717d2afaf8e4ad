// The size of a terminal's window, told at once and each time that it changes (SIGWINCH).
//
// Invariants: when the destructor has returned, nothing is told any more, and the signal is handled
// as before.
// Thread safety: one lives at a time, made and destroyed by one thread. `told` is called by the
// maker in the constructor, then by a thread of the watch.
#ifndef VMWIRE_VMM_CLI_WINDOW_WATCH_H_
#define VMWIRE_VMM_CLI_WINDOW_WATCH_H_

#include <signal.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "devices/event_fd.h"

namespace vmwire {

class WindowWatch {
 public:
  // In characters.
  using Told = std::function<void(uint16_t cols, uint16_t rows)>;

  // Null: `fd` is no terminal, so there is nothing to tell. ResourceExhausted: no descriptor or no
  // thread for it. REQUIRES: `fd` stays open while the watch lives.
  static absl::StatusOr<std::unique_ptr<WindowWatch>> Create(int fd, Told told);
  WindowWatch(const WindowWatch&) = delete;
  WindowWatch& operator=(const WindowWatch&) = delete;
  ~WindowWatch();

 private:
  WindowWatch(int fd, Told told, EventFd changed, EventFd stop)
      : fd_(fd), told_(std::move(told)), changed_(std::move(changed)), stop_(std::move(stop)) {}
  void Start();
  void Tell() const;

  const int fd_;
  const Told told_;
  const EventFd changed_;
  const EventFd stop_;
  struct sigaction before_ = {};
  std::thread thread_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_WINDOW_WATCH_H_
