// The thread that stands between a serial port and a terminal: it brings the port its input, as
// fast as the guest takes it, and brings out what the guest prints without ending the line.
//
//   input fd --> waiting (at most kMostWaiting + one read) --> Serial16550::Receive
//   HeldOutput, the same part of a line for kHoldTime --> its sink
//
// It sleeps until there is something to do: input while little waits, room in the port while some
// waits, a part of a line that begins to be held, the stop.
//
// While a sink blocks, nothing is read: whoever must see the input at once reads it before the pump
// does.
//
// Invariants: every byte that is read reaches the port, in order, unless the pump stops. After the
// end of input, or an error of it, its descriptor is not looked at again. A part of a line is held
// for at most twice kHoldTime, unless its sink blocks.
// Thread safety: made and destroyed by one thread.
#ifndef VMWIRE_DEVICES_SERIAL_SERIAL_PUMP_H_
#define VMWIRE_DEVICES_SERIAL_SERIAL_PUMP_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/event_fd.h"
#include "devices/serial/held_output.h"
#include "devices/serial/serial_16550.h"

namespace vmwire {

class SerialPump {
 public:
  static constexpr std::chrono::milliseconds kHoldTime{10};
  // No more is read while so much waits for the guest, so that the writer feels it.
  static constexpr size_t kMostWaiting = 65536;

  struct Options {
    int input = -1;                        // -1: none. Blocking or not.
    std::vector<HeldOutput*> others = {};  // Whose parts of lines come out too, besides the port's.
  };

  // ResourceExhausted: no descriptors, or no thread. REQUIRES: `serial` and the others outlive the
  // pump and have no other; options.input stays open as long, and nobody else reads from it.
  static absl::StatusOr<std::unique_ptr<SerialPump>> Start(Serial16550& serial, Options options);
  SerialPump(const SerialPump&) = delete;
  SerialPump& operator=(const SerialPump&) = delete;
  // Stops the thread; waits for a sink that it is in, for nothing else. What is held
  // stays held: see HeldOutput::Flush.
  ~SerialPump();

 private:
  using Clock = std::chrono::steady_clock;

  // An output, and the line of which a part was held when it was last looked at.
  struct Watched {
    HeldOutput* output;
    std::optional<uint64_t> line;
  };

  SerialPump(Serial16550& serial, Options options, EventFd stop, EventFd wake);

  void Run();
  // Gives the port what waits, as far as it takes it.
  void Feed();
  void ReadInput();
  bool WantsInput() const;
  // Flushes what was held at the last look, and looks again.
  void FlushStale();
  // Waits for the stop, a wake-up, input if that is wanted, or the next look. True: input is there.
  bool Wait();

  Serial16550& serial_;
  const int input_;
  const EventFd stop_;
  const EventFd wake_;
  // The thread's own.
  std::vector<Watched> outputs_;
  std::vector<std::byte> waiting_;
  bool input_ended_ = false;
  std::optional<Clock::time_point> next_look_;
  std::thread thread_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_SERIAL_SERIAL_PUMP_H_
