#include "devices/exit_port/exit_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace vmwire {
namespace {

using testing::Eq;
using testing::Optional;

template <typename T>
void WriteValue(ExitPort& port, uint64_t offset, T value) {
  port.Write(offset, std::as_bytes(std::span<const T, 1>(&value, 1)));
}

TEST(ExitPortTest, WritesOfOneTwoAndFourBytesAreExits) {
  const auto request_of = [](auto value) {
    ExitLatch latch;
    ExitPort port(latch);
    WriteValue(port, ExitPort::kExitOffset, value);
    return latch.request();
  };

  EXPECT_THAT(request_of(uint8_t{7}), Optional(Eq(ExitRequest{ExitRequest::Kind::kExit, 7})));
  EXPECT_THAT(request_of(uint16_t{0x102}),
              Optional(Eq(ExitRequest{ExitRequest::Kind::kExit, 0x102})));
  EXPECT_THAT(request_of(uint32_t{0x80000001}),
              Optional(Eq(ExitRequest{ExitRequest::Kind::kExit, 0x80000001})));
}

TEST(ExitPortTest, ByteAtTheExceptionOffsetIsAVector) {
  ExitLatch latch;
  ExitPort port(latch);

  WriteValue(port, ExitPort::kExceptionOffset, uint8_t{14});

  EXPECT_THAT(latch.request(), Optional(Eq(ExitRequest{ExitRequest::Kind::kException, 14})));
}

TEST(ExitPortTest, FirstRequestStays) {
  ExitLatch latch;
  ExitPort port(latch);
  WriteValue(port, ExitPort::kExceptionOffset, uint8_t{13});

  WriteValue(port, ExitPort::kExitOffset, uint8_t{0});

  EXPECT_THAT(latch.request(), Optional(Eq(ExitRequest{ExitRequest::Kind::kException, 13})));
}

TEST(ExitPortTest, OddSizesAndOffsetsAreIgnored) {
  ExitLatch latch;
  ExitPort port(latch);
  const std::array<std::byte, 8> bytes = {};

  port.Write(0, std::span(bytes).first(3));
  port.Write(0, bytes);
  port.Write(1, std::span(bytes).first(2));
  port.Write(2, std::span(bytes).first(1));

  EXPECT_EQ(latch.request(), std::nullopt);
}

TEST(ExitPortTest, ReadsAreAllOnes) {
  ExitLatch latch;
  ExitPort port(latch);
  std::array<std::byte, 4> data = {};

  port.Read(0, data);

  EXPECT_THAT(data, testing::Each(std::byte{0xff}));
}

}  // namespace
}  // namespace vmwire
