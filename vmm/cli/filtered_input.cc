#include "vmm/cli/filtered_input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "memory/errno_status.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::StatusOr<std::unique_ptr<FilteredInput>> FilteredInput::Start(int input, Filter filter) {
  VMWIRE_ASSIGN_OR_RETURN(EventFd stop, EventFd::Create());
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "making a pipe for the input");
  std::unique_ptr<FilteredInput> filtered(
      new FilteredInput(input, std::move(filter), ends[0], ends[1], std::move(stop)));
  // So that the thread never waits in a write, where nothing could end it.
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  try {
    filtered->thread_ = std::thread([raw = filtered.get()] { raw->Run(); });
  } catch (const std::system_error& error) {
    return ErrnoStatus(error.code().value(), "starting the thread that reads the input");
  }
  return filtered;
}

FilteredInput::~FilteredInput() {
  stop_.Signal();
  if (thread_.joinable()) thread_.join();
  if (write_end_ >= 0) close(write_end_);
  close(read_end_);
}

void FilteredInput::Run() {
  while (!input_ended_ || !waiting_.empty()) {
    const bool wants_input = !input_ended_ && waiting_.size() < kMostWaiting;
    // poll ignores negative descriptors.
    std::array<pollfd, 3> ready = {{{stop_.fd(), POLLIN, 0},
                                    {wants_input ? input_ : -1, POLLIN, 0},
                                    {waiting_.empty() ? -1 : write_end_, POLLOUT, 0}}};
    if (poll(ready.data(), ready.size(), -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (ready[0].revents != 0) return;
    if (ready[1].revents != 0) ReadInput();
    if (ready[2].revents != 0) WriteWaiting();
  }
  // What the reader sees as the end of input.
  close(write_end_);
  write_end_ = -1;
}

void FilteredInput::ReadInput() {
  std::array<std::byte, 4096> chunk;
  const ssize_t got = read(input_, chunk.data(), chunk.size());
  if (got > 0) {
    const std::vector<std::byte> passed = filter_(std::span(chunk).first(static_cast<size_t>(got)));
    waiting_.insert(waiting_.end(), passed.begin(), passed.end());
  } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
    input_ended_ = true;
  }
}

void FilteredInput::WriteWaiting() {
  const ssize_t written = write(write_end_, waiting_.data(), waiting_.size());
  if (written > 0) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + written);
  } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
    waiting_.clear();
    input_ended_ = true;
  }
}

}  // namespace vmwire
