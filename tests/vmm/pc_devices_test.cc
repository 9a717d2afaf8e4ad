#include "vmm/pc_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "tests/fakes/recording_line.h"
#include "tests/fakes/recording_pins.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::Eq;
using testing::Optional;
using testing::Pair;

class PcDevicesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_THAT(devices_.Register(ports_, mmio_), IsOk()); }

  template <typename T = uint8_t>
  T In(uint16_t port) {
    T value = 0;
    ports_.Read(port, std::as_writable_bytes(std::span<T, 1>(&value, 1)));
    return value;
  }
  template <typename T = uint8_t>
  void Out(uint16_t port, T value) {
    ports_.Write(port, std::as_bytes(std::span<const T, 1>(&value, 1)));
  }
  static SerialSink Append(std::string& text) {
    return [&text](std::span<const std::byte> bytes) {
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
  }

  Bus ports_{"port I/O", kPortSpaceSize};
  Bus mmio_{"MMIO", kMmioSpaceSize};
  ExitLatch latch_;
  RecordingLine line_;
  RecordingPins pins_;
  std::string serial_text_;
  std::string debug_text_;
  PcDevices devices_{{.serial = Append(serial_text_),
                      .debug_console = Append(debug_text_),
                      .memory = {.below_4g = uint64_t{1} << 30, .above_4g = 0},
                      .wall_clock = [] { return int64_t{0}; },
                      .monotonic_clock = [] { return uint64_t{1'000'000'000}; }},
                     latch_,
                     line_,
                     pins_};
};

TEST_F(PcDevicesTest, EveryPortAnswersAsItsDevice) {
  EXPECT_EQ(In(0x3fd), 0x60) << "serial line status";
  EXPECT_EQ(In(0x64), 0x14) << "keyboard controller status";
  Out(0x64, uint8_t{0xaa});
  EXPECT_EQ(In(0x60), 0x55) << "and its data";
  Out(0x70, uint8_t{0x0d});
  EXPECT_EQ(In(0x71), 0x80) << "CMOS";
  EXPECT_EQ(In(0x92), 0x02) << "A20";
  Out(0xe0, uint32_t{0x12345678});
  EXPECT_EQ(In<uint32_t>(0xe8), 0x12345678u) << "test device";
  EXPECT_EQ(In(0x402), 0xe9) << "debug console";
  EXPECT_EQ(In<uint16_t>(kPmControlPort), 1) << "SCI_EN";
  EXPECT_EQ(In<uint32_t>(kPmTimerPort), AcpiPm::kTimerHertz);
  Out(kResetPort, uint8_t{0x02});
  EXPECT_EQ(In(kResetPort), 0x02);
  Out(0x80, uint8_t{1});
  EXPECT_EQ(In<uint32_t>(0xf4), 0xffffffff);
  EXPECT_EQ(In(kExitPort), 0xff);

  EXPECT_EQ(ports_.absent_reads(), 0u);
  EXPECT_EQ(ports_.absent_writes(), 0u);
  EXPECT_EQ(latch_.request(), std::nullopt);
}

TEST_F(PcDevicesTest, TestKernelSetsInterruptPins) {
  Out(0x2005, uint8_t{1});
  Out(0x2005, uint8_t{0});
  Out(0x2017, uint8_t{0x80});

  EXPECT_THAT(pins_.changes(), ElementsAre(Pair(5, true), Pair(5, false), Pair(23, true)));
}

TEST_F(PcDevicesTest, TestMemoryIsInTheMmioHole) {
  const uint64_t value = 0x1122334455667788;
  mmio_.Write(0xff00fff8, std::as_bytes(std::span(&value, 1)));
  uint64_t back = 0;
  mmio_.Read(0xff00fff8, std::as_writable_bytes(std::span(&back, 1)));

  EXPECT_EQ(back, value);
}

TEST_F(PcDevicesTest, PortsOfKvmAreLeftFree) {
  const uint16_t ports[] = {0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x61, 0xa0, 0xa1, 0x4d0, 0x4d1};
  for (const uint16_t port : ports) EXPECT_EQ(In(port), 0xff);

  EXPECT_EQ(ports_.absent_reads(), std::size(ports));
}

TEST_F(PcDevicesTest, PciConfigurationAddressIsNotTheResetPort) {
  Out(0xcf8, uint32_t{0x80000600});

  EXPECT_EQ(ports_.absent_writes(), 1u);
  EXPECT_EQ(latch_.request(), std::nullopt);
}

TEST_F(PcDevicesTest, WaysToEndTheMachine) {
  const auto request_of = [](auto act) {
    Bus ports("port I/O", kPortSpaceSize);
    ExitLatch latch;
    Bus mmio("MMIO", kMmioSpaceSize);
    RecordingLine line;
    RecordingPins pins;
    PcDevices devices({.serial = [](std::span<const std::byte>) {},
                       .debug_console = [](std::span<const std::byte>) {}},
                      latch, line, pins);
    EXPECT_THAT(devices.Register(ports, mmio), IsOk());
    act(ports);
    return latch.request();
  };
  const auto write = [](uint16_t port, auto value) {
    return [port, value](Bus& ports) { ports.Write(port, std::as_bytes(std::span(&value, 1))); };
  };
  using Kind = ExitRequest::Kind;

  EXPECT_THAT(request_of(write(kExitPort, uint8_t{3})), Optional(Eq(ExitRequest{Kind::kExit, 3})));
  EXPECT_THAT(request_of(write(kExceptionPort, uint8_t{6})),
              Optional(Eq(ExitRequest{Kind::kException, 6})));
  EXPECT_THAT(request_of(write(0xf4, uint32_t{4})), Optional(Eq(ExitRequest{Kind::kExit, 9})));
  EXPECT_THAT(request_of(write(0x64, uint8_t{0xfe})), Optional(Eq(ExitRequest{Kind::kReset})));
  EXPECT_THAT(request_of(write(0x92, uint8_t{1})), Optional(Eq(ExitRequest{Kind::kReset})));
  EXPECT_THAT(request_of(write(kResetPort, kResetValue)), Optional(Eq(ExitRequest{Kind::kReset})));
  EXPECT_THAT(request_of(write(kPmControlPort, uint16_t{0x3400})),
              Optional(Eq(ExitRequest{Kind::kPowerOff})));
}

TEST_F(PcDevicesTest, FlushGivesBothSinksWhatIsHeld) {
  for (const char c : std::string("serial")) Out(kSerialPort, c);
  for (const char c : std::string("debug")) Out(0x402, c);
  EXPECT_EQ(serial_text_ + debug_text_, "");

  devices_.Flush();

  EXPECT_EQ(serial_text_, "serial");
  EXPECT_EQ(debug_text_, "debug");
}

TEST_F(PcDevicesTest, SerialPortRaisesTheLineThatItWasGiven) {
  Out(kSerialPort + 4, uint8_t{0x08});
  Out(kSerialPort + 1, uint8_t{0x02});

  EXPECT_EQ(line_.edges(), 1u);
}

TEST_F(PcDevicesTest, SecondOneOnTheSamePortsIsRefused) {
  PcDevices second({.serial = Append(serial_text_), .debug_console = Append(debug_text_)}, latch_,
                   line_, pins_);

  EXPECT_THAT(second.Register(ports_, mmio_), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(MemorySizesOf, SplitsAtTheHole) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestLayout small, GuestLayout::Create(512 * kMiB, 40));
  EXPECT_EQ(MemorySizesOf(small).below_4g, 512 * kMiB);
  EXPECT_EQ(MemorySizesOf(small).above_4g, 0u);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const GuestLayout large, GuestLayout::Create(5 * kGiB, 40));
  EXPECT_EQ(MemorySizesOf(large).below_4g, 3 * kGiB);
  EXPECT_EQ(MemorySizesOf(large).above_4g, 2 * kGiB);
}

TEST(HostClocks, GoForward) {
  EXPECT_GT(HostWallClock(), int64_t{1'700'000'000} * 1'000'000'000);
  const uint64_t before = HostMonotonicClock();
  EXPECT_GE(HostMonotonicClock(), before);
}

}  // namespace
}  // namespace vmwire
