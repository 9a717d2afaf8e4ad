#include "devices/serial/serial_16550.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/devices/serial_fixture.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Serial16550Test : public SerialFixture {};

TEST_F(Serial16550Test, SinkGetsALineAtATime) {
  Send("hello\nworld\n");

  EXPECT_THAT(chunks_, ElementsAre("hello\n", "world\n"));
}

TEST_F(Serial16550Test, UnfinishedLineWaitsForFlush) {
  Send("par");
  EXPECT_THAT(chunks_, IsEmpty());

  serial_.Flush();
  serial_.Flush();

  EXPECT_THAT(chunks_, ElementsAre("par"));
}

TEST_F(Serial16550Test, LineLongerThanTheBufferIsSentInPieces) {
  std::string line(HeldOutput::kMaxLine + 1, 'x');
  line += '\n';
  Send(line);

  EXPECT_THAT(chunks_, ElementsAre(std::string(HeldOutput::kMaxLine, 'x'), "x\n"));
}

TEST_F(Serial16550Test, TransmitterIsAlwaysReady) {
  EXPECT_EQ(In(5), 0x60);
  Send("a");
  EXPECT_EQ(In(5), 0x60);
}

TEST_F(Serial16550Test, WideAccessIsOneOfEachRegister) {
  const std::array<std::byte, 2> scratch_is_last = {std::byte{0}, std::byte{0x5a}};
  serial_.Write(6, scratch_is_last);

  std::array<std::byte, 2> both = {};
  serial_.Read(6, both);

  EXPECT_EQ(both[0], std::byte{0xb0});
  EXPECT_EQ(both[1], std::byte{0x5a});
}

TEST_F(Serial16550Test, DivisorLatchHidesDataAndInterruptEnable) {
  Out(1, 0x05);
  Out(3, 0x83);
  Out(0, 'x');
  Out(1, 0x12);
  EXPECT_EQ(In(0), 'x');
  EXPECT_EQ(In(1), 0x12);

  Out(3, 0x03);

  EXPECT_EQ(In(3), 0x03);
  EXPECT_EQ(In(1), 0x05);
  serial_.Flush();
  EXPECT_THAT(chunks_, IsEmpty()) << "a divisor was transmitted";
}

TEST_F(Serial16550Test, FifoBitsFollowFifoControl) {
  EXPECT_EQ(In(2), 0x01);
  Out(2, 0x01);
  EXPECT_EQ(In(2), 0xc1);
  Out(2, 0x00);
  EXPECT_EQ(In(2), 0x01);
}

TEST_F(Serial16550Test, TransmitterInterruptIsIdentifiedOnceAndAgainAfterAByte) {
  Out(1, 0x02);
  EXPECT_EQ(In(2), 0x02);
  EXPECT_EQ(In(2), 0x01);

  Send("a");

  EXPECT_EQ(In(2), 0x02);
  EXPECT_EQ(In(2), 0x01);
}

TEST_F(Serial16550Test, LoopbackWiresModemOutputsToInputs) {
  EXPECT_EQ(In(6), 0xb0);
  Out(4, 0x1a);
  EXPECT_EQ(In(6) & 0xf0, 0x90);
  Out(4, 0x15);
  EXPECT_EQ(In(6) & 0xf0, 0x60);
}

TEST_F(Serial16550Test, ModemDeltasAreOfWhatChangedSinceTheLastRead) {
  Out(4, 0x1a);
  EXPECT_EQ(In(6) & 0x0f, 0x02) << "DSR went off";
  EXPECT_EQ(In(6) & 0x0f, 0x00);

  Out(4, 0x1f);
  EXPECT_EQ(In(6) & 0x0f, 0x02) << "the ring indicator went on, which is no delta of its";

  Out(4, 0x10);
  EXPECT_EQ(In(6) & 0x0f, 0x0f);
}

TEST_F(Serial16550Test, LoopbackReturnsWhatIsSentAndSendsNothing) {
  Out(4, 0x10);
  Send("\n");

  EXPECT_EQ(In(5), 0x61);
  EXPECT_EQ(In(0), '\n');
  EXPECT_EQ(In(5), 0x60);
  EXPECT_THAT(chunks_, IsEmpty());
}

TEST_F(Serial16550Test, LoopbackOverrunWithFifosKeepsTheOldBytes) {
  Out(2, 0x01);
  Out(4, 0x10);
  Send("0123456789abcdefX");

  EXPECT_EQ(In(5), 0x63);
  std::string received;
  while ((In(5) & 0x01) != 0) received.push_back(static_cast<char>(In(0)));
  EXPECT_EQ(received, "0123456789abcdef");
}

TEST_F(Serial16550Test, LoopbackOverrunIsReportedOnce) {
  Out(4, 0x10);
  Send("abc");

  EXPECT_EQ(In(5), 0x63);
  EXPECT_EQ(In(5), 0x61);
  EXPECT_EQ(In(0), 'c');
}

TEST_F(Serial16550Test, StatusRegistersAreReadOnly) {
  Out(5, 0xff);
  Out(6, 0xff);

  EXPECT_EQ(In(5), 0x60);
  EXPECT_EQ(In(6), 0xb0);
}

// The register accesses of autoconfig() and autoconfig_16550a() of Linux,
// drivers/tty/serial/8250/8250_port.c, on a port without flags, up to its verdict.
TEST_F(Serial16550Test, LinuxProbeFindsA16550A) {
  constexpr uint8_t kLoop = 0x10;
  // Is a port there at all?
  const uint8_t ier = In(1);
  Out(1, 0);
  EXPECT_EQ(In(1) & 0x0f, 0);
  Out(1, 0x0f);
  EXPECT_EQ(In(1) & 0x0f, 0x0f);
  Out(1, ier);
  const uint8_t mcr = In(4);
  const uint8_t lcr = In(3);
  Out(4, kLoop | 0x0a);
  EXPECT_EQ(In(6) & 0xf0, 0x90) << "the loopback test fails";
  Out(4, mcr);

  // Which one?
  Out(3, 0xbf);
  Out(2, 0);
  Out(3, 0);
  Out(2, 0x01);
  ASSERT_EQ(In(2) & 0xc0, 0xc0) << "not a port with a FIFO";

  // A 16650, which has an enhanced feature register?
  Out(3, 0x80);
  EXPECT_NE(In(2), 0);
  Out(3, 0xbf);
  EXPECT_NE(In(2), 0);

  // A National Semiconductor SuperIO?
  Out(3, 0);
  const uint8_t status1 = In(4);
  Out(3, 0xe0);
  uint8_t status2 = In(2);
  if (((status2 ^ status1) & kLoop) == 0) {
    Out(3, 0);
    Out(4, status1 ^ kLoop);
    Out(3, 0xe0);
    status2 = In(2);
    Out(3, 0);
    Out(4, status1);
    EXPECT_EQ((status2 ^ status1) & kLoop, 0);
  }

  // A TI16750, with a FIFO of 64 bytes?
  Out(3, 0);
  Out(2, 0x21);
  const int without_latch = In(2) >> 5;
  Out(2, 0x01);
  Out(3, 0x80);
  Out(2, 0x21);
  const int with_latch = In(2) >> 5;
  Out(2, 0x01);
  Out(3, 0);
  EXPECT_FALSE(without_latch == 6 && with_latch == 7);

  // The port of an XScale, with a UART unit enable bit?
  Out(1, ier & 0xbf);
  EXPECT_EQ(In(1) & 0x40, 0);
  Out(1, ier | 0x40);
  EXPECT_EQ(In(1) & 0x40, 0);
  Out(1, ier);
  Out(3, lcr);
  EXPECT_THAT(chunks_, IsEmpty());
}

TEST_F(Serial16550Test, RandomAccessesNeverHoldBackMoreThanALine) {
  std::mt19937 random(static_cast<uint32_t>(TestSeed()));
  size_t sent = 0;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t index = random() % 8;
    if (random() % 2 == 0) {
      Out(index, static_cast<uint8_t>(random()));
    } else {
      In(index);
    }
    for (const std::string& chunk : chunks_) {
      ASSERT_LE(chunk.size(), HeldOutput::kMaxLine);
      sent += chunk.size();
    }
    chunks_.clear();
  }
  EXPECT_GT(sent, 0u);
}

}  // namespace
}  // namespace vmwire
