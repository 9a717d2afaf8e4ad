// A 16550A serial port as a guest sees it at its eight byte-wide registers: transmit,
// identification, loopback. No input and no interrupt line yet: nothing is ever received but what
// loopback returns, and the interrupt identification is for a guest that polls.
//
// The transmitter is always ready. What it sends is gathered by line and given to a sink, so that
// the host pays a system call a line and not a byte.
//
// Invariants: at most kMaxLine bytes are held back. Register semantics: National Semiconductor
// PC16550D data sheet, section 8.
// Thread safety: as Device.
#ifndef VMWIRE_DEVICES_SERIAL_SERIAL_16550_H_
#define VMWIRE_DEVICES_SERIAL_SERIAL_16550_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "devices/device.h"

namespace vmwire {

// Where sent bytes go. The span is valid during the call only.
using SerialSink = std::function<void(std::span<const std::byte>)>;

class Serial16550 : public Device {
 public:
  static constexpr uint64_t kWindowSize = 8;
  static constexpr size_t kMaxLine = 1024;

  // REQUIRES: `sink` may be called until this object dies. The destructor does not call it: see
  // Flush.
  explicit Serial16550(SerialSink sink);

  std::string Name() const override { return "serial 16550A"; }
  // An access of several bytes is that many accesses of one byte at ascending registers, as an
  // 8-bit device on the bus sees it.
  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

  // Gives the sink what was sent since the last line end. To be called when the guest ends.
  void Flush();

 private:
  bool DivisorLatchAccess() const;
  bool Loopback() const;
  uint8_t ReadRegister(uint64_t index);
  void WriteRegister(uint64_t index, uint8_t value);
  uint8_t ReadReceiver();
  uint8_t ReadInterruptIdentification();
  uint8_t ReadLineStatus();
  uint8_t ModemStatus() const;
  void WriteInterruptEnable(uint8_t value);
  void WriteFifoControl(uint8_t value);
  void Transmit(uint8_t value);

  const SerialSink sink_;
  std::vector<std::byte> line_;
  uint8_t interrupt_enable_ = 0;
  uint8_t line_control_ = 0;
  uint8_t modem_control_ = 0;
  uint8_t scratch_ = 0;
  uint8_t divisor_low_ = 1;  // 115,200 baud: what a guest that never sets it may expect to read.
  uint8_t divisor_high_ = 0;
  bool fifo_enabled_ = false;
  bool transmitter_interrupt_ = false;
  // Loopback only.
  uint8_t received_ = 0;
  bool data_ready_ = false;
  bool overrun_ = false;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_SERIAL_SERIAL_16550_H_
