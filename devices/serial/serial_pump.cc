#include "devices/serial/serial_pump.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr size_t kChunk = 4096;

timespec ToTimespec(std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<SerialPump>> SerialPump::Start(Serial16550& serial,
                                                              Options options) {
  VMWIRE_ASSIGN_OR_RETURN(EventFd stop, EventFd::Create());
  VMWIRE_ASSIGN_OR_RETURN(EventFd wake, EventFd::Create());
  std::unique_ptr<SerialPump> pump(
      new SerialPump(serial, std::move(options), std::move(stop), std::move(wake)));
  try {
    pump->thread_ = std::thread([raw = pump.get()] { raw->Run(); });
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(std::string("no thread for the serial port: ") +
                                        error.what());
  }
  return pump;
}

SerialPump::SerialPump(Serial16550& serial, Options options, EventFd stop, EventFd wake)
    : serial_(serial), input_(options.input), stop_(std::move(stop)), wake_(std::move(wake)) {
  outputs_.push_back({&serial.output(), std::nullopt});
  for (HeldOutput* other : options.others) outputs_.push_back({other, std::nullopt});
  for (const Watched& watched : outputs_) watched.output->Watch(&wake_);
  serial_.SetRoomEvent(&wake_);
}

SerialPump::~SerialPump() {
  stop_.Signal();
  if (thread_.joinable()) thread_.join();
  serial_.SetRoomEvent(nullptr);
  for (const Watched& watched : outputs_) watched.output->Watch(nullptr);
}

void SerialPump::Run() {
  while (!IsReadable(stop_.fd())) {
    // Before the work: what happens during it wakes again.
    wake_.Drain();
    Feed();
    if (!next_look_.has_value() || Clock::now() >= *next_look_) FlushStale();
    if (Wait()) ReadInput();
  }
}

void SerialPump::Feed() {
  if (waiting_.empty()) return;
  const size_t taken = serial_.Receive(waiting_);
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(taken));
}

void SerialPump::ReadInput() {
  std::array<std::byte, kChunk> chunk;
  const ssize_t got = read(input_, chunk.data(), chunk.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    input_ended_ = true;
    return;
  }
  const auto bytes = std::span<const std::byte>(chunk).first(static_cast<size_t>(got));
  waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
}

bool SerialPump::WantsInput() const {
  return input_ >= 0 && !input_ended_ && waiting_.size() < kMostWaiting;
}

void SerialPump::FlushStale() {
  bool held = false;
  for (Watched& watched : outputs_) {
    if (watched.line.has_value()) watched.output->FlushLine(*watched.line);
    watched.line = watched.output->AwaitHeld();
    held = held || watched.line.has_value();
  }
  next_look_.reset();
  if (held) next_look_ = Clock::now() + kHoldTime;
}

bool SerialPump::Wait() {
  std::array<pollfd, 3> polled = {
      {{stop_.fd(), POLLIN, 0}, {wake_.fd(), POLLIN, 0}, {WantsInput() ? input_ : -1, POLLIN, 0}}};
  timespec timeout = {};
  if (next_look_.has_value()) {
    timeout = ToTimespec(std::max(*next_look_ - Clock::now(), Clock::duration::zero()));
  }
  // An interrupted wait is as good as one that timed out: the loop looks at everything again.
  const int ready = ppoll(polled.data(), polled.size(), next_look_.has_value() ? &timeout : nullptr,
                          /*sigmask=*/nullptr);
  return ready > 0 && polled[2].revents != 0;
}

}  // namespace vmwire
