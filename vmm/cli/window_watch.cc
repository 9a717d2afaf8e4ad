#include "vmm/cli/window_watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <system_error>

#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// A signal handler needs one place to find it; set while a watch lives.
std::atomic<const EventFd*> changed_of_process = nullptr;

extern "C" void WindowOfProcessChanged(int) {
  if (const EventFd* const changed = changed_of_process.load()) changed->Signal();
}

}  // namespace

absl::StatusOr<std::unique_ptr<WindowWatch>> WindowWatch::Create(int fd, Told told) {
  std::unique_ptr<WindowWatch> watch;
  if (isatty(fd) != 1) return watch;
  VMWIRE_ASSIGN_OR_RETURN(EventFd changed, EventFd::Create());
  VMWIRE_ASSIGN_OR_RETURN(EventFd stop, EventFd::Create());
  watch.reset(new WindowWatch(fd, std::move(told), std::move(changed), std::move(stop)));
  try {
    watch->Start();
  } catch (const std::system_error& error) {
    return ErrnoStatus(error.code().value(), "starting the thread that watches the window");
  }
  return watch;
}

void WindowWatch::Start() {
  // Before the first look, so that no change is missed.
  changed_of_process = &changed_;
  struct sigaction action = {};
  action.sa_handler = WindowOfProcessChanged;
  action.sa_flags = SA_RESTART;
  sigaction(SIGWINCH, &action, &before_);
  Tell();
  thread_ = std::thread([this] {
    while (!IsReadable(stop_.fd())) {
      WaitReadable({changed_.fd(), stop_.fd()});
      if (changed_.Drain()) Tell();
    }
  });
}

WindowWatch::~WindowWatch() {
  sigaction(SIGWINCH, &before_, nullptr);
  changed_of_process = nullptr;
  stop_.Signal();
  if (thread_.joinable()) thread_.join();
}

void WindowWatch::Tell() const {
  winsize size = {};
  if (ioctl(fd_, TIOCGWINSZ, &size) == 0) told_(size.ws_col, size.ws_row);
}

}  // namespace vmwire
