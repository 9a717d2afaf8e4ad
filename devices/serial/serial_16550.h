// A 16550A serial port as a guest sees it at its eight byte-wide registers.
//
//   guest --> THR --> HeldOutput --> sink        host --> Receive --> FIFO of 16 --> RBR --> guest
//   sources: line status > data > transmitter > modem status --> IER --> MCR.OUT2 --> one edge
//
// The transmitter is always ready. The wire of the modem inputs is at rest: CTS, DSR and DCD are
// on. There are no errors on it and no breaks; an overrun comes from loopback alone, since Receive
// takes no more than fits.
//
// The line is edge-triggered, so there is an edge when the port begins to ask for attention, and
// one more whenever the guest has served a part of what it asks for and something is left. A driver
// that serves until IIR says 1 loses nothing by the first alone; one that serves a single source or
// byte an interrupt loses nothing by the second.
//
// Invariants: register semantics are those of the National Semiconductor PC16550D data sheet,
// section 8, with three simplifications: a byte below the trigger level is a time-out at once, not
// after four character times; OUT2 lets interrupts through in loopback too, where the pin would be
// off; and a byte that is there when the FIFOs are turned on stays, where the chip would clear it
// (8.4, bit 0). Linux enables the receiver's interrupt first and the FIFOs after that, and what the
// host has kept for it would come, and be lost, in between.
// Lock order: mutex_ (registers), then none: bytes go to the HeldOutput after it is released, so
// the registers answer while the sink blocks. The line is raised and the room event signalled under
// it.
// Thread safety: thread-safe.
#ifndef VMWIRE_DEVICES_SERIAL_SERIAL_16550_H_
#define VMWIRE_DEVICES_SERIAL_SERIAL_16550_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "devices/device.h"
#include "devices/event_fd.h"
#include "devices/interrupt_line.h"
#include "devices/serial/held_output.h"
#include "devices/serial/receive_fifo.h"
#include "memory/mutex.h"

namespace vmwire {

class Serial16550 : public Device {
 public:
  static constexpr uint64_t kWindowSize = 8;
  // So many reads in a row of a line status without data are of a guest that waits for input.
  static constexpr uint32_t kPollsOfAListener = 4;

  // REQUIRES: `sink` as HeldOutput's; `line` outlives the object.
  Serial16550(SerialSink sink, InterruptLine& line) : output_(std::move(sink)), line_(line) {}

  std::string Name() const override { return "serial 16550A"; }
  // An access of several bytes is that many accesses of one byte at ascending registers, as an
  // 8-bit device on the bus sees it.
  void Read(uint64_t offset, std::span<std::byte> data) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Write(uint64_t offset, std::span<const std::byte> data) override ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes the first of `bytes` as the wire would bring them, and returns how many: what fits, and
  // none while nobody listens. That keeps input that comes before the guest's driver from being
  // thrown away with the driver's first clearing of the port. A guest listens when it has the
  // receiver's interrupt and OUT2 on, or polls for input (kPollsOfAListener) and has not cleared
  // the receiver since; never in loopback.
  size_t Receive(std::span<const std::byte> bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Signalled when Receive, having taken less than it was given, may take some again: the receiver
  // is empty and the guest listens. Null: nothing is. REQUIRES: `event` lives until the next call.
  void SetRoomEvent(const EventFd* event) ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives the sink what was sent since the last line end. To be called when the guest ends.
  void Flush() { output_.Flush(); }
  HeldOutput& output() { return output_; }

 private:
  enum class Source { kNone, kModemStatus, kTransmitter, kData, kLineStatus };

  bool DivisorLatchAccess() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Loopback() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Listening() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t TriggerLevel() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether it has something, and is enabled.
  bool Asks(Source source) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The most urgent one that asks.
  Source Pending() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool LineActive() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After an access: an edge if one is due, and the room event.
  void Settle(bool was_active) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  uint8_t ReadRegister(uint64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A byte to send, if the write was of one.
  std::optional<std::byte> WriteRegister(uint64_t index, uint8_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadReceiver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadInterruptIdentification() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadLineStatus() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadModemStatus() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ModemInputs() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteInterruptEnable(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteFifoControl(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteModemControl(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ClearReceiver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<std::byte> Transmit(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  HeldOutput output_;
  InterruptLine& line_;

  Mutex mutex_;
  uint8_t interrupt_enable_ ABSL_GUARDED_BY(mutex_) = 0;
  uint8_t fifo_control_ ABSL_GUARDED_BY(mutex_) = 0;
  uint8_t line_control_ ABSL_GUARDED_BY(mutex_) = 0;
  uint8_t modem_control_ ABSL_GUARDED_BY(mutex_) = 0;
  uint8_t scratch_ ABSL_GUARDED_BY(mutex_) = 0;
  // 115,200 baud: what a guest that never sets it may expect to read.
  uint8_t divisor_low_ ABSL_GUARDED_BY(mutex_) = 1;
  uint8_t divisor_high_ ABSL_GUARDED_BY(mutex_) = 0;
  ReceiveFifo receiver_ ABSL_GUARDED_BY(mutex_);
  bool overrun_ ABSL_GUARDED_BY(mutex_) = false;
  bool transmitter_interrupt_ ABSL_GUARDED_BY(mutex_) = false;
  uint8_t modem_deltas_ ABSL_GUARDED_BY(mutex_) = 0;

  // The access at hand took a part of what the port asked attention for.
  bool served_ ABSL_GUARDED_BY(mutex_) = false;
  uint32_t polls_ ABSL_GUARDED_BY(mutex_) = 0;  // In a row; kPollsOfAListener stays.
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;
  const EventFd* room_event_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_SERIAL_SERIAL_16550_H_
