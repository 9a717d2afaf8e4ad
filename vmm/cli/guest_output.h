// What the guest prints, by its serial port and its console: to stdout, and to whoever waits for a
// text in it.
//
// Invariants: bytes are written in the order in which they come, each write whole. Where nobody
// takes them, a stop request still ends the run.
// Lock order: mutex_, then that of the ExpectWatch.
// Thread safety: thread-safe.
#ifndef VMWIRE_VMM_CLI_GUEST_OUTPUT_H_
#define VMWIRE_VMM_CLI_GUEST_OUTPUT_H_

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "memory/mutex.h"
#include "vmm/cli/expect_watch.h"
#include "vmm/stop_request.h"

namespace vmwire {

class GuestOutput {
 public:
  // `watch` may be null. REQUIRES: both outlive the object.
  GuestOutput(StopRequest& stop, ExpectWatch* watch) : stop_(stop), watch_(watch) {}
  GuestOutput(const GuestOutput&) = delete;
  GuestOutput& operator=(const GuestOutput&) = delete;

  // Writes, and waits for whoever reads; once the run is to end, only what goes at once.
  void Write(GuestStream stream, std::span<const std::byte> bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  // OK unless the guest's output could not be written. (A reader that went away is no error: it
  // ends the run by SIGPIPE, as it ends any filter.)
  absl::Status Result() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  static constexpr int kPatienceMs = 100;

  // True: nobody asks any more whether the text came. (What a guest held back and prints when it
  // ends, or its time does, still counts.)
  bool IsEndedFromOutside() const;
  void WriteAll(std::span<const std::byte> bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteSome(std::span<const std::byte>& bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  StopRequest& stop_;
  ExpectWatch* const watch_;
  mutable Mutex mutex_;
  int error_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_GUEST_OUTPUT_H_
