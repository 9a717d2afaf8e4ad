// Drivers of a serial port, driven by its edges alone, under random schedules: the host offers
// input between any two register accesses. Whatever the driver's habits, all input must arrive and
// all output leave, or an edge was lost.

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <string>
#include <thread>

#include "devices/event_fd.h"
#include "devices/serial/serial_16550.h"
#include "tests/devices/serial_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

constexpr uint8_t kReceiveInterrupt = 0x01;
constexpr uint8_t kTransmitInterrupt = 0x02;
constexpr uint8_t kLineStatusInterrupt = 0x04;

// An edge-triggered input of an interrupt controller: edges are latched until the interrupt is
// delivered, and more than one is one.
class LatchedLine final : public InterruptLine {
 public:
  void Raise() override { latched_ = true; }
  bool Take() { return std::exchange(latched_, false); }

 private:
  bool latched_ = false;
};

class DriverModel {
 public:
  DriverModel(uint32_t seed, bool fifos) : random_(seed), fifos_(fifos) {
    room_ = EventFd::Create().value();
    serial_.SetRoomEvent(&*room_);
    for (int i = 0; i < 300; ++i) input_.push_back(static_cast<char>('a' + i % 26));
    for (int i = 0; i < 300; ++i) output_.push_back(static_cast<char>('A' + i % 26));
    offered_ = input_;
    unsent_ = {output_.begin(), output_.end()};
  }
  virtual ~DriverModel() { serial_.SetRoomEvent(nullptr); }

  void Run() {
    Probe();
    SetUp();
    // Quiet for long, with nothing latched, is for ever.
    for (int quiet = 0; quiet < 100;) {
      const bool interrupted = line_.Take();
      if (interrupted) Interrupt();
      const bool started = !interrupted && random_() % 4 == 0 && StartTransmitter();
      const bool offered = Host();
      quiet = interrupted || started || offered ? 0 : quiet + 1;
    }
    serial_.Flush();
    EXPECT_EQ(received_, input_);
    EXPECT_EQ(printed_, output_);
  }

 protected:
  virtual void Interrupt() = 0;

  uint8_t In(uint64_t index) {
    Host();
    return ReadPort(serial_, index);
  }
  void Out(uint64_t index, uint8_t value) {
    Host();
    WritePort(serial_, index, value);
  }
  void ReceiveByte() { received_.push_back(static_cast<char>(In(0))); }
  // Linux's serial8250_tx_chars: up to a FIFO of them, and no more interrupts after the last.
  void TransmitSome(int most) {
    for (int i = 0; i < most && !unsent_.empty() && started_; ++i) {
      Out(0, static_cast<uint8_t>(unsent_.front()));
      unsent_.pop_front();
      --queued_;
      if (queued_ == 0) started_ = false;
    }
    if (!started_) Out(1, interrupt_enable_ &= static_cast<uint8_t>(~kTransmitInterrupt));
  }
  bool transmitting() const { return started_; }
  bool fifos() const { return fifos_; }

 private:
  // Of Linux's autoconfig(): is a port there, and does its loopback work?
  void Probe() {
    Out(1, 0);
    EXPECT_EQ(In(1) & 0x0f, 0);
    Out(1, 0x0f);
    EXPECT_EQ(In(1) & 0x0f, 0x0f);
    Out(1, 0);
    Out(4, 0x1a);
    EXPECT_EQ(In(6) & 0xf0, 0x90);
    Out(4, 0);
    Out(2, 0x01);
    EXPECT_EQ(In(2) & 0xc0, 0xc0);
    Out(2, 0x00);
  }

  void SetUp() {
    StartUp();
    SetTermios();
    Out(4, 0x0b);
  }

  // Linux's serial8250_do_startup(): it throws input away, and leaves the FIFOs off.
  void StartUp() {
    Out(2, 0x01);
    Out(2, 0x07);
    Out(2, 0x00);
    ReadToClear();
    // The transmitter's interrupt must come again when it is enabled again.
    for (int i = 0; i < 2; ++i) {
      Out(1, kTransmitInterrupt);
      EXPECT_EQ(In(2) & 0x0f, 0x02);
      Out(1, 0);
    }
    Out(3, 0x03);
    Out(4, 0x08);
    Out(1, kTransmitInterrupt);
    In(5);
    EXPECT_EQ(In(2) & 0x0f, 0x02);
    Out(1, 0);
    ReadToClear();
  }

  // Linux's serial8250_do_set_termios(): the receiver's interrupt comes on before the FIFOs, and no
  // interrupt is taken in between.
  void SetTermios() {
    Out(1, interrupt_enable_ = kReceiveInterrupt | kLineStatusInterrupt);
    Out(3, 0x83);
    Out(0, 1);
    Out(1, 0);
    Out(3, 0x03);
    if (fifos_) Out(2, 0x01);
    Out(2, fifos_ ? 0x81 : 0x00);
    Out(4, 0x08);
  }

  void ReadToClear() {
    for (const uint64_t index : {5u, 0u, 2u, 6u}) In(index);
  }

  // A process writes a few bytes. False: there are none left, or the last ones are still going out.
  bool StartTransmitter() {
    if (unsent_.empty() || started_) return false;
    queued_ = std::min<size_t>(1 + random_() % 40, unsent_.size());
    started_ = true;
    Out(1, interrupt_enable_ |= kTransmitInterrupt);
    return true;
  }

  // What a pump does, at some moments: offers input, and after a refusal waits to be told. True: it
  // moved something.
  bool Host() {
    if (random_() % 3 != 0 || offered_.empty()) return false;
    if (refused_ && !room_->Drain()) return false;
    const std::string some = offered_.substr(0, 1 + random_() % 24);
    const size_t taken = serial_.Receive(BytesOf(some));
    refused_ = taken < some.size();
    offered_.erase(0, taken);
    return taken != 0;
  }

  std::mt19937 random_;
  const bool fifos_;
  std::string input_;
  std::string output_;
  std::string offered_;
  std::string received_;
  std::string printed_;
  std::deque<char> unsent_;
  size_t queued_ = 0;
  bool started_ = false;
  bool refused_ = false;
  uint8_t interrupt_enable_ = 0;
  std::optional<EventFd> room_;
  LatchedLine line_;
  Serial16550 serial_{[this](std::span<const std::byte> bytes) {
                        printed_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                      },
                      line_};
};

// Linux: serial8250_interrupt() and serial8250_handle_irq(), until the identification says that
// there is nothing.
class LoopingDriver final : public DriverModel {
  using DriverModel::DriverModel;
  void Interrupt() override {
    while ((In(2) & 0x01) == 0) {
      uint8_t status = In(5);
      while ((status & 0x01) != 0) {
        ReceiveByte();
        status = In(5);
      }
      In(6);
      if ((status & 0x20) != 0 && transmitting()) TransmitSome(fifos() ? 16 : 1);
    }
  }
};

// One source and one byte an interrupt.
class SingleDriver final : public DriverModel {
  using DriverModel::DriverModel;
  void Interrupt() override {
    switch (In(2) & 0x0f) {
      case 0x04:
      case 0x0c:
        return ReceiveByte();
      case 0x02:
        return TransmitSome(1);
      default:
        return;
    }
  }
};

// Never asks what the interrupt was for.
class BlindDriver final : public DriverModel {
  using DriverModel::DriverModel;
  void Interrupt() override {
    const uint8_t status = In(5);
    if ((status & 0x01) != 0) ReceiveByte();
    if ((status & 0x20) != 0 && transmitting()) TransmitSome(1);
  }
};

template <typename Driver>
void RunSchedules() {
  const uint64_t seed = TestSeed();
  for (uint32_t i = 0; i < 200 && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("schedule " + std::to_string(i) + " of seed " + std::to_string(seed));
    Driver(static_cast<uint32_t>(seed) + i, i % 2 == 0).Run();
  }
}

TEST(SerialDriver, LinuxLikeHandlerLosesNothing) { RunSchedules<LoopingDriver>(); }
TEST(SerialDriver, HandlerOfOneSourceAnInterruptLosesNothing) { RunSchedules<SingleDriver>(); }
TEST(SerialDriver, HandlerThatNeverIdentifiesLosesNothing) { RunSchedules<BlindDriver>(); }

TEST_F(SerialFixture, ThreadsThatPrintReceiveAndReadLoseNothing) {
  constexpr size_t kBytes = 4'000;
  Out(2, 0x07);
  Out(4, 0x08);
  Out(1, kReceiveInterrupt);
  const std::string input(kBytes, 'i');
  std::thread host([&] {
    for (size_t at = 0; at < kBytes; std::this_thread::yield()) {
      at += Receive(input.substr(at, 16));
    }
  });
  std::thread printer([&] {
    for (size_t i = 0; i < kBytes; ++i) Out(0, i % 50 == 0 ? '\n' : 'x');
  });

  std::string received;
  for (; received.size() < kBytes; std::this_thread::yield()) received += ReadAll();
  host.join();
  printer.join();

  serial_.Flush();
  size_t printed = 0;
  for (const std::string& chunk : chunks_) printed += chunk.size();
  EXPECT_EQ(printed, kBytes);
  EXPECT_EQ(received, input);
}

}  // namespace
}  // namespace vmwire
