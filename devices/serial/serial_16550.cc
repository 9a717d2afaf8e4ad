#include "devices/serial/serial_16550.h"

#include <array>

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
constexpr uint8_t kEnableLineStatus = 0x04;
constexpr uint8_t kEnableModemStatus = 0x08;
constexpr uint8_t kInterruptEnableMask = 0x0f;

constexpr uint8_t kIdModemStatus = 0x00;
constexpr uint8_t kIdNone = 0x01;
constexpr uint8_t kIdTransmitter = 0x02;
constexpr uint8_t kIdData = 0x04;
constexpr uint8_t kIdLineStatus = 0x06;
constexpr uint8_t kIdTimeout = 0x0c;
constexpr uint8_t kFifoBits = 0xc0;

constexpr uint8_t kFifoEnable = 0x01;
constexpr uint8_t kClearReceiver = 0x02;
constexpr std::array<size_t, 4> kTriggerLevels = {1, 4, 8, 14};

constexpr uint8_t kDlab = 0x80;

constexpr uint8_t kOut2 = 0x08;
constexpr uint8_t kLoop = 0x10;
constexpr uint8_t kModemControlMask = 0x1f;

constexpr uint8_t kDataReady = 0x01;
constexpr uint8_t kOverrun = 0x02;
constexpr uint8_t kTransmitterReady = 0x60;  // Holding register and shift register both empty.

constexpr uint8_t kClearToSend = 0x10;
constexpr uint8_t kDataSetReady = 0x20;
constexpr uint8_t kRingIndicator = 0x40;
constexpr uint8_t kCarrierDetect = 0x80;

// The delta bits of a change of the modem inputs: each input has its own four bits lower. That of
// the ring indicator is of its trailing edge alone (PC16550D, 8.8, bit 2).
uint8_t ModemDeltas(uint8_t before, uint8_t after) {
  const auto changed = static_cast<uint8_t>(before ^ after);
  const auto ring_ended = static_cast<uint8_t>(before & ~after & kRingIndicator);
  return static_cast<uint8_t>(((changed & ~kRingIndicator) | ring_ended) >> 4);
}

}  // namespace

void Serial16550::Read(uint64_t offset, std::span<std::byte> data) {
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < data.size(); ++i) {
    const bool was_active = LineActive();
    data[i] = std::byte{ReadRegister(offset + i)};
    Settle(was_active);
  }
}

void Serial16550::Write(uint64_t offset, std::span<const std::byte> data) {
  for (size_t i = 0; i < data.size(); ++i) {
    std::optional<std::byte> sent;
    {
      const MutexLock lock(mutex_);
      const bool was_active = LineActive();
      sent = WriteRegister(offset + i, std::to_integer<uint8_t>(data[i]));
      Settle(was_active);
    }
    if (sent.has_value()) output_.Put(*sent);
  }
}

size_t Serial16550::Receive(std::span<const std::byte> bytes) {
  const MutexLock lock(mutex_);
  const bool was_active = LineActive();
  size_t taken = 0;
  while (taken < bytes.size() && Listening() && !receiver_.full()) {
    receiver_.Push(std::to_integer<uint8_t>(bytes[taken]));
    ++taken;
  }
  refused_ = taken < bytes.size();
  Settle(was_active);
  return taken;
}

void Serial16550::SetRoomEvent(const EventFd* event) {
  const MutexLock lock(mutex_);
  room_event_ = event;
}

bool Serial16550::DivisorLatchAccess() const { return (line_control_ & kDlab) != 0; }
bool Serial16550::Loopback() const { return (modem_control_ & kLoop) != 0; }

bool Serial16550::Listening() const {
  if (Loopback()) return false;
  const bool interrupts =
      (interrupt_enable_ & kEnableReceive) != 0 && (modem_control_ & kOut2) != 0;
  return interrupts || polls_ == kPollsOfAListener;
}

size_t Serial16550::TriggerLevel() const {
  return receiver_.fifo() ? kTriggerLevels[fifo_control_ >> 6] : 1;
}

bool Serial16550::Asks(Source source) const {
  const auto enabled = [enable = interrupt_enable_](uint8_t bit) { return (enable & bit) != 0; };
  switch (source) {
    case Source::kLineStatus:
      return overrun_ && enabled(kEnableLineStatus);
    case Source::kData:
      return !receiver_.empty() && enabled(kEnableReceive);
    case Source::kTransmitter:
      return transmitter_interrupt_ && enabled(kEnableTransmit);
    case Source::kModemStatus:
      return modem_deltas_ != 0 && enabled(kEnableModemStatus);
    case Source::kNone:
      break;
  }
  return false;
}

Serial16550::Source Serial16550::Pending() const {
  for (const Source source :
       {Source::kLineStatus, Source::kData, Source::kTransmitter, Source::kModemStatus}) {
    if (Asks(source)) return source;
  }
  return Source::kNone;
}

bool Serial16550::LineActive() const {
  return (modem_control_ & kOut2) != 0 && Pending() != Source::kNone;
}

void Serial16550::Settle(bool was_active) {
  const bool served = std::exchange(served_, false);
  if (LineActive() && (served || !was_active)) line_.Raise();
  // Not at the first free byte: the host would be woken for each.
  if (refused_ && receiver_.empty() && Listening()) {
    refused_ = false;
    if (room_event_ != nullptr) room_event_->Signal();
  }
}

uint8_t Serial16550::ReadRegister(uint64_t index) {
  if (index != kLineStatus && polls_ < kPollsOfAListener) polls_ = 0;
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
      return ReadModemStatus();
    case kScratch:
      return scratch_;
    default:
      return 0xff;
  }
}

std::optional<std::byte> Serial16550::WriteRegister(uint64_t index, uint8_t value) {
  if (polls_ < kPollsOfAListener) polls_ = 0;
  switch (index) {
    case kData:
      if (!DivisorLatchAccess()) return Transmit(value);
      divisor_low_ = value;
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
      WriteModemControl(value);
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:  // Line status and modem status are read-only.
      break;
  }
  return std::nullopt;
}

uint8_t Serial16550::ReadReceiver() {
  served_ = Asks(Source::kData);
  return receiver_.Pop();
}

uint8_t Serial16550::ReadInterruptIdentification() {
  const uint8_t fifo = receiver_.fifo() ? kFifoBits : uint8_t{0};
  switch (Pending()) {
    case Source::kLineStatus:
      return fifo | kIdLineStatus;
    case Source::kData:
      return fifo | (receiver_.size() >= TriggerLevel() ? kIdData : kIdTimeout);
    case Source::kTransmitter:
      // Reading its identification is what resets it.
      transmitter_interrupt_ = false;
      served_ = true;
      return fifo | kIdTransmitter;
    case Source::kModemStatus:
      return fifo | kIdModemStatus;
    case Source::kNone:
      break;
  }
  return fifo | kIdNone;
}

uint8_t Serial16550::ReadLineStatus() {
  served_ = Asks(Source::kLineStatus);
  const bool overrun = std::exchange(overrun_, false);
  if (receiver_.empty() && polls_ < kPollsOfAListener) ++polls_;
  return static_cast<uint8_t>(kTransmitterReady | (receiver_.empty() ? 0 : kDataReady) |
                              (overrun ? kOverrun : 0));
}

uint8_t Serial16550::ReadModemStatus() {
  served_ = Asks(Source::kModemStatus);
  const uint8_t deltas = std::exchange(modem_deltas_, uint8_t{0});
  return ModemInputs() | deltas;
}

uint8_t Serial16550::ModemInputs() const {
  if (!Loopback()) return kCarrierDetect | kDataSetReady | kClearToSend;
  // In loopback the four outputs are wired to the four inputs: DTR to DSR, RTS to CTS, OUT1 to RI,
  // OUT2 to DCD.
  const uint8_t outputs = modem_control_;
  const auto wired = [outputs](uint8_t output, uint8_t input) {
    return (outputs & output) != 0 ? input : uint8_t{0};
  };
  return static_cast<uint8_t>(wired(0x01, kDataSetReady) | wired(0x02, kClearToSend) |
                              wired(0x04, kRingIndicator) | wired(kOut2, kCarrierDetect));
}

void Serial16550::WriteInterruptEnable(uint8_t value) {
  value &= kInterruptEnableMask;
  const bool transmit_newly_enabled = (value & ~interrupt_enable_ & kEnableTransmit) != 0;
  if (transmit_newly_enabled) transmitter_interrupt_ = true;
  interrupt_enable_ = value;
}

void Serial16550::WriteFifoControl(uint8_t value) {
  const bool enable = (value & kFifoEnable) != 0;
  const bool turns_off = receiver_.fifo() && !enable;
  // The other bits count only together with that one (PC16550D, 8.4, bit 0).
  if (turns_off || (enable && (value & kClearReceiver) != 0)) ClearReceiver();
  receiver_.SetFifo(enable);
  if (enable) fifo_control_ = value;
}

void Serial16550::WriteModemControl(uint8_t value) {
  const uint8_t before = ModemInputs();
  modem_control_ = value & kModemControlMask;
  modem_deltas_ |= ModemDeltas(before, ModemInputs());
}

void Serial16550::ClearReceiver() {
  receiver_.Clear();
  polls_ = 0;
}

std::optional<std::byte> Serial16550::Transmit(uint8_t value) {
  // The transmitter is full for no time at all, but its interrupt goes and comes with each byte.
  served_ = Asks(Source::kTransmitter);
  transmitter_interrupt_ = true;
  if (!Loopback()) return std::byte{value};
  if (!receiver_.Push(value)) overrun_ = true;
  return std::nullopt;
}

}  // namespace vmwire
