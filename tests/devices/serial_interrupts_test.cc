// Reception, the sources of interrupts and their edges.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "devices/event_fd.h"
#include "devices/serial/serial_16550.h"
#include "tests/devices/serial_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

constexpr uint8_t kOut2 = 0x08;
constexpr uint8_t kLoopWithOut2 = 0x18;

class SerialInterruptsTest : public SerialFixture {
 protected:
  // A guest with the FIFOs on at trigger level 14, OUT2 on, and `sources` enabled.
  void Enable(uint8_t sources) {
    Out(2, 0xc1);
    Out(4, kOut2);
    Out(1, sources);
    NewEdges();
  }
};

TEST_F(SerialInterruptsTest, NobodyListensBeforeTheGuestDoes) {
  EXPECT_EQ(Receive("a"), 0u);
  Out(4, kOut2);
  EXPECT_EQ(Receive("a"), 0u) << "OUT2 alone";
  Out(4, 0);
  Out(1, 0x01);
  EXPECT_EQ(Receive("a"), 0u) << "an interrupt that goes nowhere";
  Out(4, kOut2);
  EXPECT_EQ(Receive("a"), 1u);
}

TEST_F(SerialInterruptsTest, PollingForInputIsListening) {
  for (uint32_t i = 0; i < Serial16550::kPollsOfAListener; ++i) {
    EXPECT_EQ(Receive("a"), 0u);
    In(5);
  }
  EXPECT_EQ(Receive("a"), 1u);
  Send("x");

  EXPECT_EQ(ReadAll(), "a");
  EXPECT_EQ(Receive("b"), 1u) << "who has polled once goes on";
}

TEST_F(SerialInterruptsTest, PollingTheTransmitterIsNotListening) {
  for (int i = 0; i < 100; ++i) {
    In(5);
    Send("x");
    In(5);
    In(5);
    In(1);
  }

  EXPECT_EQ(Receive("a"), 0u);
}

TEST_F(SerialInterruptsTest, ClearingTheReceiverEndsPolling) {
  for (uint32_t i = 0; i < Serial16550::kPollsOfAListener; ++i) In(5);
  Out(2, 0x07);

  EXPECT_EQ(Receive("a"), 0u);
}

TEST_F(SerialInterruptsTest, ReceiverTakesOneByteWithoutFifosAndSixteenWith) {
  Out(4, kOut2);
  Out(1, 0x01);
  EXPECT_EQ(Receive("abc"), 1u);
  EXPECT_EQ(ReadAll(), "a");

  Out(2, 0x01);

  EXPECT_EQ(Receive("0123456789abcdefXYZ"), 16u);
  EXPECT_EQ(In(5), 0x61) << "the host never overruns the guest";
  EXPECT_EQ(ReadAll(), "0123456789abcdef");
}

TEST_F(SerialInterruptsTest, FifoKeepsOrderAcrossItsEnd) {
  Enable(0x01);
  std::string received;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Receive("abcdefg"), 7u);
    received += ReadAll();
  }

  EXPECT_EQ(received.size(), 70u);
  EXPECT_EQ(received.substr(63), "abcdefg");
}

TEST_F(SerialInterruptsTest, ClearBitAndTurningTheFifosOffEmptyTheReceiver) {
  Enable(0x01);
  Receive("abc");
  Out(2, 0x03);
  EXPECT_EQ(In(5), 0x60);

  Receive("abc");
  Out(2, 0x00);
  EXPECT_EQ(In(5), 0x60);

  Receive("a");
  Out(2, 0x02);
  EXPECT_EQ(In(5), 0x61) << "a clear bit without the enable bit counts for nothing";
}

TEST_F(SerialInterruptsTest, TurningTheFifosOnKeepsTheByteThatIsThere) {
  Out(2, 0x07);
  Out(2, 0x00);
  Out(4, kOut2);
  Out(1, 0x01);
  Receive("a");

  Out(2, 0x01);

  EXPECT_EQ(In(2), 0xc4);
  EXPECT_EQ(Receive("b"), 1u);
  EXPECT_EQ(ReadAll(), "ab");
}

TEST_F(SerialInterruptsTest, IdentificationTellsTimeoutFromTriggerLevel) {
  constexpr uint8_t kLevels[] = {1, 4, 8, 14};
  for (uint8_t code = 0; code < 4; ++code) {
    Out(2, static_cast<uint8_t>(code << 6 | 0x03));
    Out(4, kOut2);
    Out(1, 0x01);
    if (kLevels[code] > 1) {
      Receive(std::string(kLevels[code] - 1u, 'x'));
      EXPECT_EQ(In(2), 0xcc) << int{code};
      EXPECT_EQ(In(2), 0xcc) << "only reading the bytes ends it";
    }
    Receive("x");
    EXPECT_EQ(In(2), 0xc4) << int{code};
    In(0);
    ReadAll();
    EXPECT_EQ(In(2), 0xc1);
  }
}

TEST_F(SerialInterruptsTest, SourcesAreIdentifiedByPriorityAndEndedByTheirOwnReads) {
  Enable(0x00);
  Out(4, kLoopWithOut2);  // Off goes DSR, and CTS: a modem status.
  Out(2, 0x00);
  Send("ab");  // An overrun, with data.
  Out(1, 0x0f);

  EXPECT_EQ(In(2), 0x06);
  EXPECT_EQ(In(5) & 0x02, 0x02);
  EXPECT_EQ(In(2), 0x04);
  EXPECT_EQ(In(0), 'b');
  EXPECT_EQ(In(2), 0x02);
  EXPECT_EQ(In(2), 0x00) << "identifying the transmitter ended that";
  EXPECT_EQ(In(6) & 0x0f, 0x03);
  EXPECT_EQ(In(2), 0x01);
}

TEST_F(SerialInterruptsTest, EachSourceIsIdentifiedOnlyIfEnabled) {
  Enable(0x00);
  Out(4, kLoopWithOut2);
  Out(2, 0x00);
  Send("ab");

  EXPECT_EQ(In(2), 0x01);
  Out(1, 0x04);
  EXPECT_EQ(In(2), 0x06);
  Out(1, 0x01);
  EXPECT_EQ(In(2), 0x04);
  Out(1, 0x08);
  EXPECT_EQ(In(2), 0x00);
}

TEST_F(SerialInterruptsTest, FirstByteRaisesOnceAndTheNextNot) {
  Enable(0x01);

  Receive("a");
  EXPECT_EQ(NewEdges(), 1u);
  Receive("bcd");
  EXPECT_EQ(NewEdges(), 0u);
}

TEST_F(SerialInterruptsTest, ReadThatLeavesDataRaisesAgain) {
  Enable(0x01);
  Receive("abc");
  NewEdges();

  In(0);
  EXPECT_EQ(NewEdges(), 1u);
  In(0);
  EXPECT_EQ(NewEdges(), 1u);
  In(0);
  EXPECT_EQ(NewEdges(), 0u);
}

TEST_F(SerialInterruptsTest, NoOut2NoEdgeUntilItComes) {
  Enable(0x01);
  Receive("a");
  NewEdges();
  Out(4, 0);
  In(2);
  EXPECT_EQ(NewEdges(), 0u);

  Out(4, kOut2);

  EXPECT_EQ(NewEdges(), 1u);
}

TEST_F(SerialInterruptsTest, EnablingTheTransmitterRaisesAndSoDoesEachByteSent) {
  Enable(0x00);

  Out(1, 0x02);
  EXPECT_EQ(NewEdges(), 1u);
  Send("a");
  EXPECT_EQ(NewEdges(), 1u) << "a driver may never look at the identification";
  EXPECT_EQ(In(2), 0xc2);
  EXPECT_EQ(NewEdges(), 0u);
  Send("b");
  EXPECT_EQ(NewEdges(), 1u);
  Out(1, 0x02);
  EXPECT_EQ(NewEdges(), 0u);
}

TEST_F(SerialInterruptsTest, ServedSourceRaisesForTheOneThatStays) {
  Enable(0x03);
  In(2);
  Send("x");
  Receive("a");
  NewEdges();

  In(0);
  EXPECT_EQ(NewEdges(), 1u) << "the transmitter is left";
  EXPECT_EQ(In(2), 0xc2);
  EXPECT_EQ(NewEdges(), 0u);
}

TEST_F(SerialInterruptsTest, ModemStatusRaisesAtADelta) {
  Enable(0x08);

  Out(4, 0x0b | 0x10);  // DSR, CTS and DCD as they are outside.
  EXPECT_EQ(NewEdges(), 0u);
  Out(4, kLoopWithOut2);
  EXPECT_EQ(NewEdges(), 1u);
  EXPECT_EQ(In(2), 0xc0);
  EXPECT_EQ(In(6), 0x83);
  EXPECT_EQ(In(2), 0xc1);
}

TEST_F(SerialInterruptsTest, NothingIsReceivedInLoopback) {
  Enable(0x01);
  Out(4, kLoopWithOut2);

  EXPECT_EQ(Receive("a"), 0u);
}

TEST_F(SerialInterruptsTest, RoomIsToldOnceTheReceiverIsEmptyAndOnlyIfSomethingWasRefused) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const EventFd room, EventFd::Create());
  serial_.SetRoomEvent(&room);
  Enable(0x01);
  EXPECT_EQ(Receive("ab"), 2u);
  ReadAll();
  EXPECT_FALSE(room.Drain());

  EXPECT_EQ(Receive(std::string(17, 'x')), 16u);
  for (int i = 0; i < 15; ++i) In(0);
  EXPECT_FALSE(room.Drain());
  In(0);
  EXPECT_TRUE(room.Drain());
  serial_.SetRoomEvent(nullptr);
}

TEST_F(SerialInterruptsTest, RoomIsToldWhenTheGuestBeginsToListen) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const EventFd room, EventFd::Create());
  serial_.SetRoomEvent(&room);
  EXPECT_EQ(Receive("a"), 0u);
  EXPECT_FALSE(room.Drain());

  Out(4, kOut2);
  EXPECT_FALSE(room.Drain());
  Out(1, 0x01);

  EXPECT_TRUE(room.Drain());
  serial_.SetRoomEvent(nullptr);
}

}  // namespace
}  // namespace vmwire
