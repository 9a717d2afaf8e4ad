#include "devices/serial/serial_16550.h"

#include <utility>

namespace vmwire {
namespace {

enum Register : uint64_t {
  kData = 0,             // Receiver buffer, transmitter holding; divisor latch low with DLAB.
  kInterruptEnable = 1,  // Divisor latch high with DLAB.
  kInterruptIdOrFifoControl = 2,
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
  kModemStatus = 6,
  kScratch = 7,
};

constexpr uint8_t kEnableReceive = 0x01;
constexpr uint8_t kEnableTransmit = 0x02;
constexpr uint8_t kInterruptEnableMask = 0x0f;

constexpr uint8_t kNoInterrupt = 0x01;
constexpr uint8_t kTransmitterEmpty = 0x02;
constexpr uint8_t kDataAvailable = 0x04;
constexpr uint8_t kFifoBits = 0xc0;

constexpr uint8_t kFifoEnable = 0x01;
constexpr uint8_t kClearReceiver = 0x02;

constexpr uint8_t kDlab = 0x80;

constexpr uint8_t kModemControlMask = 0x1f;
constexpr uint8_t kLoop = 0x10;

constexpr uint8_t kDataReady = 0x01;
constexpr uint8_t kOverrun = 0x02;
constexpr uint8_t kTransmitterReady = 0x60;  // Holding register and shift register both empty.

constexpr uint8_t kClearToSend = 0x10;
constexpr uint8_t kDataSetReady = 0x20;
constexpr uint8_t kRingIndicator = 0x40;
constexpr uint8_t kCarrierDetect = 0x80;

}  // namespace

Serial16550::Serial16550(SerialSink sink) : sink_(std::move(sink)) { line_.reserve(kMaxLine); }

void Serial16550::Read(uint64_t offset, std::span<std::byte> data) {
  for (size_t i = 0; i < data.size(); ++i) data[i] = std::byte{ReadRegister(offset + i)};
}

void Serial16550::Write(uint64_t offset, std::span<const std::byte> data) {
  for (size_t i = 0; i < data.size(); ++i) {
    WriteRegister(offset + i, std::to_integer<uint8_t>(data[i]));
  }
}

void Serial16550::Flush() {
  if (line_.empty()) return;
  sink_(line_);
  line_.clear();
}

bool Serial16550::DivisorLatchAccess() const { return (line_control_ & kDlab) != 0; }
bool Serial16550::Loopback() const { return (modem_control_ & kLoop) != 0; }

uint8_t Serial16550::ReadRegister(uint64_t index) {
  switch (index) {
    case kData:
      return DivisorLatchAccess() ? divisor_low_ : ReadReceiver();
    case kInterruptEnable:
      return DivisorLatchAccess() ? divisor_high_ : interrupt_enable_;
    case kInterruptIdOrFifoControl:
      return ReadInterruptIdentification();
    case kLineControl:
      return line_control_;
    case kModemControl:
      return modem_control_;
    case kLineStatus:
      return ReadLineStatus();
    case kModemStatus:
      return ModemStatus();
    case kScratch:
      return scratch_;
    default:
      return 0xff;
  }
}

void Serial16550::WriteRegister(uint64_t index, uint8_t value) {
  switch (index) {
    case kData:
      if (DivisorLatchAccess()) {
        divisor_low_ = value;
      } else {
        Transmit(value);
      }
      break;
    case kInterruptEnable:
      if (DivisorLatchAccess()) {
        divisor_high_ = value;
      } else {
        WriteInterruptEnable(value);
      }
      break;
    case kInterruptIdOrFifoControl:
      WriteFifoControl(value);
      break;
    case kLineControl:
      line_control_ = value;
      break;
    case kModemControl:
      modem_control_ = value & kModemControlMask;
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:  // Line status and modem status are read-only.
      break;
  }
}

uint8_t Serial16550::ReadReceiver() {
  data_ready_ = false;
  return received_;
}

uint8_t Serial16550::ReadInterruptIdentification() {
  const uint8_t fifo = fifo_enabled_ ? kFifoBits : uint8_t{0};
  if (data_ready_ && (interrupt_enable_ & kEnableReceive) != 0) return fifo | kDataAvailable;
  if (transmitter_interrupt_ && (interrupt_enable_ & kEnableTransmit) != 0) {
    transmitter_interrupt_ = false;  // Reading its identification is what resets it.
    return fifo | kTransmitterEmpty;
  }
  return fifo | kNoInterrupt;
}

uint8_t Serial16550::ReadLineStatus() {
  const bool overrun = std::exchange(overrun_, false);
  return static_cast<uint8_t>(kTransmitterReady | (data_ready_ ? kDataReady : 0) |
                              (overrun ? kOverrun : 0));
}

uint8_t Serial16550::ModemStatus() const {
  if (!Loopback()) return kCarrierDetect | kDataSetReady | kClearToSend;
  // In loopback the four outputs are wired to the four inputs: DTR to DSR, RTS to CTS, OUT1 to RI,
  // OUT2 to DCD.
  const auto wired = [this](uint8_t output, uint8_t input) {
    return (modem_control_ & output) != 0 ? input : uint8_t{0};
  };
  return static_cast<uint8_t>(wired(0x01, kDataSetReady) | wired(0x02, kClearToSend) |
                              wired(0x04, kRingIndicator) | wired(0x08, kCarrierDetect));
}

void Serial16550::WriteInterruptEnable(uint8_t value) {
  value &= kInterruptEnableMask;
  const bool transmit_newly_enabled = (value & ~interrupt_enable_ & kEnableTransmit) != 0;
  if (transmit_newly_enabled) transmitter_interrupt_ = true;
  interrupt_enable_ = value;
}

void Serial16550::WriteFifoControl(uint8_t value) {
  const bool enable = (value & kFifoEnable) != 0;
  // A change of mode clears the FIFOs as the clear bit does (data sheet, 8.5, bit 0).
  if (enable != fifo_enabled_ || (value & kClearReceiver) != 0) data_ready_ = false;
  fifo_enabled_ = enable;
}

void Serial16550::Transmit(uint8_t value) {
  transmitter_interrupt_ = true;
  if (Loopback()) {
    overrun_ = overrun_ || data_ready_;
    received_ = value;
    data_ready_ = true;
    return;
  }
  line_.push_back(std::byte{value});
  if (value == '\n' || line_.size() == kMaxLine) Flush();
}

}  // namespace vmwire
