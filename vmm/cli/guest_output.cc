#include "vmm/cli/guest_output.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "absl/strings/str_format.h"

namespace vmwire {

void GuestOutput::Write(GuestStream stream, std::span<const std::byte> bytes) {
  const MutexLock lock(mutex_);
  WriteAll(bytes);
  if (watch_ != nullptr && !IsEndedFromOutside()) watch_->Feed(stream, bytes);
}

bool GuestOutput::IsEndedFromOutside() const {
  if (!stop_.requested()) return false;
  const int reason = stop_.reason();
  return reason > 0 || reason == StopRequest::kEscapeKey || reason == StopRequest::kOutputFailed;
}

void GuestOutput::WriteAll(std::span<const std::byte> bytes) {
  // A pipe that is ready takes PIPE_BUF whole, so that no write blocks.
  while (!bytes.empty() && error_ == 0) {
    pollfd out = {STDOUT_FILENO, POLLOUT, 0};
    // Bounded, since a signal may come just before; after a stop only what goes at once.
    const bool ready = poll(&out, 1, stop_.requested() ? 0 : kPatienceMs) > 0;
    if (!ready && stop_.requested()) return;
    if (ready) WriteSome(bytes);
  }
}

absl::Status GuestOutput::Result() const {
  const MutexLock lock(mutex_);
  if (error_ == 0 || error_ == EPIPE) return absl::OkStatus();
  return absl::InternalError(
      absl::StrFormat("cannot write the guest's output: %s", strerrordesc_np(error_)));
}

void GuestOutput::WriteSome(std::span<const std::byte>& bytes) {
  const size_t count = std::min<size_t>(bytes.size(), PIPE_BUF);
  const ssize_t written = write(STDOUT_FILENO, bytes.data(), count);
  if (written >= 0) {
    bytes = bytes.subspan(static_cast<size_t>(written));
  } else if (errno != EINTR && errno != EAGAIN) {
    error_ = errno;
    stop_.Stop(error_ == EPIPE ? SIGPIPE : StopRequest::kOutputFailed);
  }
}

}  // namespace vmwire
