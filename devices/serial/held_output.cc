#include "devices/serial/held_output.h"

#include <utility>

namespace vmwire {

HeldOutput::HeldOutput(SerialSink sink) : sink_(std::move(sink)) { held_.reserve(kMaxLine); }

void HeldOutput::Put(std::byte value) {
  const MutexLock lock(mutex_);
  held_.push_back(value);
  if (value == std::byte{'\n'} || held_.size() == kMaxLine) {
    FlushLocked();
  } else if (std::exchange(wake_, false) && watcher_ != nullptr) {
    watcher_->Signal();
  }
}

void HeldOutput::Flush() {
  const MutexLock lock(mutex_);
  FlushLocked();
}

void HeldOutput::Watch(const EventFd* watcher) {
  const MutexLock lock(mutex_);
  watcher_ = watcher;
  wake_ = false;
}

std::optional<uint64_t> HeldOutput::AwaitHeld() {
  const MutexLock lock(mutex_);
  wake_ = held_.empty();
  if (wake_) return std::nullopt;
  return line_;
}

void HeldOutput::FlushLine(uint64_t line) {
  const MutexLock lock(mutex_);
  if (line == line_) FlushLocked();
}

void HeldOutput::FlushLocked() {
  if (held_.empty()) return;
  sink_(held_);
  held_.clear();
  ++line_;
}

}  // namespace vmwire
