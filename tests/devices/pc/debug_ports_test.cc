#include "devices/pc/debug_ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/devices/pc/pc_device_fixture.h"

namespace vmwire {
namespace {

TEST(DebugConsoleTest, TellsThatItIsThereAndPrintsByLine) {
  std::vector<std::string> chunks;
  DebugConsole console([&](std::span<const std::byte> bytes) {
    chunks.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  EXPECT_EQ(ReadValue<uint8_t>(console, 0), 0xe9);

  for (const char c : std::string("hi\nthere")) WriteValue<char>(console, 0, c);
  EXPECT_THAT(chunks, testing::ElementsAre("hi\n"));
  console.output().Flush();

  EXPECT_THAT(chunks, testing::ElementsAre("hi\n", "there"));
}

TEST(DebugExitTest, CodeIsTheExitStatusOfTheMonitorThatHasThisPort) {
  const auto request_of = [](auto value) {
    ExitLatch latch;
    DebugExit port(latch);
    WriteValue(port, 0, value);
    return latch.request();
  };

  EXPECT_THAT(request_of(uint8_t{0}), Requests(ExitRequest::Kind::kExit, 1));
  EXPECT_THAT(request_of(uint16_t{0x10}), Requests(ExitRequest::Kind::kExit, 0x21));
  EXPECT_THAT(request_of(uint32_t{0x80000001}), Requests(ExitRequest::Kind::kExit, 3));
}

TEST(DebugExitTest, OddSizesAndOffsetsAreIgnoredAndReadsAreAllOnes) {
  ExitLatch latch;
  DebugExit port(latch);
  const std::array<std::byte, 8> bytes = {};

  port.Write(0, std::span(bytes).first(3));
  port.Write(0, bytes);
  port.Write(1, std::span(bytes).first(1));

  EXPECT_EQ(latch.request(), std::nullopt);
  EXPECT_EQ(ReadValue<uint32_t>(port, 0), 0xffffffff);
}

TEST(PostCodeTest, WritesAreDroppedAndReadsAreAllOnes) {
  PostCode port;
  WriteValue<uint8_t>(port, 0, 0x55);

  EXPECT_EQ(ReadValue<uint8_t>(port, 0), 0xff);
}

}  // namespace
}  // namespace vmwire
