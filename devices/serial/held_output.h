// What a guest prints byte by byte, gathered by line, so that the host pays a system call a line
// and not a byte; and what lets a SerialPump bring out a part of a line, a prompt, soon.
//
//   Put --> held line --> at its end, when it is full, or by Flush --> sink
//                     \-> the first byte after AwaitHeld found none: wakes the watcher, once
//
// Invariants: at most kMaxLine bytes are held. Nothing is lost or given twice, and the order stays.
// A watcher is woken at most once between two calls of AwaitHeld, not once a line.
// Lock order: mutex_ is a leaf, but the sink is called under it: it must not call back, and all who
// print wait while it blocks.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_SERIAL_HELD_OUTPUT_H_
#define VMWIRE_DEVICES_SERIAL_HELD_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "devices/event_fd.h"
#include "memory/mutex.h"

namespace vmwire {

// Where printed bytes go. The span is valid during the call only. Called by one thread at a time.
using SerialSink = std::function<void(std::span<const std::byte>)>;

class HeldOutput {
 public:
  static constexpr size_t kMaxLine = 1024;

  // REQUIRES: `sink` may be called until this object dies. The destructor does not call it: see
  // Flush.
  explicit HeldOutput(SerialSink sink);
  HeldOutput(const HeldOutput&) = delete;
  HeldOutput& operator=(const HeldOutput&) = delete;

  void Put(std::byte value) ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives the sink what is held.
  void Flush() ABSL_LOCKS_EXCLUDED(mutex_);

  // Who is to be woken; null: nobody. REQUIRES: `watcher` lives until the next call.
  void Watch(const EventFd* watcher) ABSL_LOCKS_EXCLUDED(mutex_);
  // The number of the line of which a part is held. nullopt: nothing is, and the next byte that is
  // wakes the watcher.
  std::optional<uint64_t> AwaitHeld() ABSL_LOCKS_EXCLUDED(mutex_);
  // Flush, if `line` is still what is held.
  void FlushLine(uint64_t line) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void FlushLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  const SerialSink sink_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::byte> held_ ABSL_GUARDED_BY(mutex_);
  uint64_t line_ ABSL_GUARDED_BY(mutex_) = 0;
  const EventFd* watcher_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_SERIAL_HELD_OUTPUT_H_
