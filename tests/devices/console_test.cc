#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "devices/virtio/console/virtio_console.h"
#include "memory/mutex.h"
#include "tests/devices/device_session.h"
#include "tests/devices/virtio_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::Optional;
using Used = DriverQueue::Used;

constexpr size_t kReceive = VirtioConsole::kReceiveQueue;
constexpr size_t kTransmit = VirtioConsole::kTransmitQueue;
constexpr GuestAddress kBuffer(0x1000);

// Of this process.
std::chrono::milliseconds CpuTime() {
  timespec time;
  EXPECT_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
  return std::chrono::milliseconds(time.tv_sec * 1000 + time.tv_nsec / 1000000);
}

class VirtioConsoleTest : public VirtioDeviceTest {
 protected:
  VirtioConsoleTest() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    input_ = ends[0];
    keyboard_ = ends[1];
    console_ = *VirtioConsole::Create(
        port_, [this](std::span<const std::byte> bytes) { Take(bytes); }, input_);
    session_ = std::make_unique<DeviceSession>(port_, *console_, std::vector<uint16_t>{8, 8},
                                               console_->Features());
  }
  ~VirtioConsoleTest() override {
    session_.reset();
    if (keyboard_ >= 0) close(keyboard_);
    close(input_);
  }

  void Take(std::span<const std::byte> bytes) {
    MutexLock lock(mutex_);
    output_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    longest_ = std::max(longest_, bytes.size());
  }
  std::string output() {
    MutexLock lock(mutex_);
    return output_;
  }
  void Type(const std::string& text) {
    EXPECT_EQ(write(keyboard_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void EndInput() { close(std::exchange(keyboard_, -1)); }
  void Put(uint64_t address, const std::string& text) {
    std::memcpy(Memory(address, text.size()).data(), text.data(), text.size());
  }
  std::string Text(uint64_t address, size_t size) {
    return std::string(reinterpret_cast<const char*>(Memory(address, size).data()), size);
  }
  std::array<uint16_t, 2> WindowSize() {
    std::array<uint16_t, 2> size;
    console_->ReadConfig(0, std::as_writable_bytes(std::span(size)));
    return size;
  }
  DriverQueue& queue(size_t number) { return session_->queue(number); }

  int input_ = -1;
  int keyboard_ = -1;
  Mutex mutex_;
  std::string output_;
  size_t longest_ = 0;
  std::unique_ptr<VirtioConsole> console_;
  std::unique_ptr<DeviceSession> session_;
};

TEST_F(VirtioConsoleTest, TransmittedBuffersReachTheSinkInOrder) {
  Put(0x1000, "hello, ");
  Put(0x3000, "world");
  Put(0x5000, "!\n");
  const uint16_t first = queue(kTransmit).Add({{kBuffer, 7}, {GuestAddress(0x3000), 5}}, {});
  const uint16_t second = queue(kTransmit).Add({{GuestAddress(0x5000), 2}}, {});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(output(), "hello, world!\n");
  EXPECT_THAT(queue(kTransmit).TakeUsed(), Optional(Used{first, 0}));
  EXPECT_THAT(queue(kTransmit).TakeUsed(), Optional(Used{second, 0}));
  EXPECT_EQ(session_->interrupts(), 1u);
  EXPECT_EQ(CounterOf(*console_, "sent_bytes"), 14u);
}

TEST_F(VirtioConsoleTest, ALongBufferReachesTheSinkInPiecesOfFixedSize) {
  std::string text;
  for (size_t i = 0; i < 100000; ++i) text += static_cast<char>('a' + i % 26);
  Put(0x1001, text);
  queue(kTransmit).Add({{GuestAddress(0x1001), static_cast<uint32_t>(text.size())}}, {});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(output(), text);
  EXPECT_EQ(longest_, 4096u);
}

TEST_F(VirtioConsoleTest, D6ABufferOfLengthZeroSendsNothing) {
  const uint16_t head = queue(kTransmit).Add({{kBuffer, 0}}, {});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(queue(kTransmit).TakeUsed(), Optional(Used{head, 0}));
  EXPECT_EQ(output(), "");
}

TEST_F(VirtioConsoleTest, InputFillsAReceiveBuffer) {
  const uint16_t head = queue(kReceive).Add({}, {{kBuffer, 3}, {GuestAddress(0x3000), 100}});
  Type("typed");

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(queue(kReceive).TakeUsed(), Optional(Used{head, 5}));
  EXPECT_EQ(Text(0x1000, 3), "typ");
  EXPECT_EQ(Text(0x3000, 2), "ed");
  EXPECT_EQ(session_->interrupts(), 1u);
  EXPECT_EQ(CounterOf(*console_, "received_bytes"), 5u);
}

TEST_F(VirtioConsoleTest, InputThatIsLongerThanABufferGoesToTheNextOne) {
  queue(kReceive).Add({}, {{kBuffer, 4}});
  queue(kReceive).Add({}, {{GuestAddress(0x3000), 4}});
  Type("123456");

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(queue(kReceive).TakeUsed()->written, 4u);
  EXPECT_EQ(queue(kReceive).TakeUsed()->written, 2u);
  EXPECT_EQ(Text(0x1000, 4), "1234");
  EXPECT_EQ(Text(0x3000, 2), "56");
}

TEST_F(VirtioConsoleTest, WithoutAReceiveBufferInputStaysWithTheHost) {
  Type("typed");

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  char rest[6] = {};
  EXPECT_EQ(read(input_, rest, 5), 5);
  EXPECT_STREQ(rest, "typed");
}

TEST_F(VirtioConsoleTest, D6AReceiveBufferOfLengthZeroIsGivenBackAndTakesNoInput) {
  const uint16_t empty = queue(kReceive).Add({}, {{kBuffer, 0}});
  const uint16_t head = queue(kReceive).Add({}, {{kBuffer, 8}});
  Type("typed");

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(queue(kReceive).TakeUsed(), Optional(Used{empty, 0}));
  EXPECT_THAT(queue(kReceive).TakeUsed(), Optional(Used{head, 5}));
}

TEST_F(VirtioConsoleTest, AfterADoorbellAndTheEndOfInputTheDeviceSleeps) {
  queue(kReceive).Add({}, {{kBuffer, 8}});
  EndInput();
  session_->Ring();
  session_->Start();
  const std::chrono::milliseconds before = CpuTime();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const std::chrono::milliseconds used = CpuTime() - before;

  EXPECT_THAT(session_->Stop(), IsOk());
  EXPECT_LT(used, std::chrono::milliseconds(30));
  EXPECT_EQ(queue(kReceive).TakeUsed(), std::nullopt);
}

TEST_F(VirtioConsoleTest, OutputGoesOnAfterTheEndOfInput) {
  EndInput();
  queue(kReceive).Add({}, {{kBuffer, 8}});
  Put(0x3000, "on");
  queue(kTransmit).Add({{GuestAddress(0x3000), 2}}, {});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(output(), "on");
}

TEST_F(VirtioConsoleTest, AnInputThatIsNoDescriptorIsNoInput) {
  const std::unique_ptr<VirtioConsole> console = *VirtioConsole::Create(
      port_, [this](std::span<const std::byte> bytes) { Take(bytes); }, -1);
  DeviceSession session(port_, *console, {8, 8}, console->Features());
  session.queue(kReceive).Add({}, {{kBuffer, 8}});

  EXPECT_THAT(session.ServeOnce(), IsOk());
  EXPECT_EQ(session.queue(kReceive).TakeUsed(), std::nullopt);
}

TEST_F(VirtioConsoleTest, AWritableBufferInTheTransmitQueueNeedsAReset) {
  queue(kTransmit).Add({}, {{kBuffer, 8}});

  EXPECT_THAT(session_->ServeOnce(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(VirtioConsoleTest, AReadableBufferInTheReceiveQueueNeedsAReset) {
  queue(kReceive).Add({{kBuffer, 8}}, {});
  Type("typed");

  EXPECT_THAT(session_->ServeOnce(), StatusIs(absl::StatusCode::kInvalidArgument));
}

using VirtioConsoleOutputTest = VirtioConsoleTest;
TEST_P(VirtioConsoleOutputTest, BadTransmitBufferNeedsAReset) {
  queue(kTransmit).Add({GetParam().buffer}, {});

  EXPECT_THAT(session_->ServeOnce(), StatusIs(GetParam().code));

  EXPECT_EQ(output(), "");
  EXPECT_EQ(queue(kTransmit).TakeUsed(), std::nullopt);
}
INSTANTIATE_TEST_SUITE_P(Rows, VirtioConsoleOutputTest, testing::ValuesIn(BuffersOutsideMemory()),
                         NameOf);

using VirtioConsoleInputTest = VirtioConsoleTest;
TEST_P(VirtioConsoleInputTest, BadReceiveBufferNeedsAReset) {
  queue(kReceive).Add({}, {GetParam().buffer});
  Type("typed");

  EXPECT_THAT(session_->ServeOnce(), StatusIs(GetParam().code));

  EXPECT_EQ(queue(kReceive).TakeUsed(), std::nullopt);
  EXPECT_EQ(port_.written_bytes(GuestAddress(DeviceSession::kQueues)), 0u);
}
INSTANTIATE_TEST_SUITE_P(Rows, VirtioConsoleInputTest, testing::ValuesIn(BuffersNotWritable()),
                         NameOf);

TEST_F(VirtioConsoleTest, AMapThatFailsIsTheErrorAndLeavesNothingMapped) {
  const uint64_t live = port_.stats().live;
  for (uint64_t n = 1; n <= 3; ++n) {
    queue(kTransmit).Add({{kBuffer, 12288}}, {});
    port_.FailMap(n);

    EXPECT_THAT(session_->ServeOnce(), StatusIs(absl::StatusCode::kResourceExhausted)) << n;
    EXPECT_EQ(port_.stats().live, live) << n;
    EXPECT_EQ(output().size() % 4096, 0u) << n;
  }
}

TEST_F(VirtioConsoleTest, ResizeShowsInTheConfigurationAndTellsTheDriverOnce) {
  console_->Resize(80, 25);
  console_->Resize(132, 43);

  ASSERT_THAT(session_->ServeOnce(), IsOk());
  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(WindowSize(), testing::ElementsAre(132, 43));
  EXPECT_EQ(session_->config_changes(), 1u);
}

TEST_F(VirtioConsoleTest, AnEmergencyWriteSendsItsLowByteAtOnce) {
  const std::array<std::byte, 4> word = {std::byte{'!'}, std::byte{'a'}, std::byte{'b'},
                                         std::byte{'c'}};

  console_->WriteConfig(8, word);

  EXPECT_EQ(output(), "!");
  EXPECT_EQ(CounterOf(*console_, "emergency_bytes"), 1u);
}

TEST_F(VirtioConsoleTest, D30WritesToTheRestOfTheConfigurationAreDropped) {
  console_->Resize(80, 25);
  const std::array<std::byte, 4> word = {};
  for (const uint64_t offset : {0u, 2u, 4u, 6u, 9u, 12u, 4096u})
    console_->WriteConfig(offset, word);

  EXPECT_THAT(WindowSize(), testing::ElementsAre(80, 25));
  EXPECT_EQ(output(), "");
}

TEST_F(VirtioConsoleTest, WhatLiesPastTheConfigurationReadsZero) {
  std::array<uint8_t, 8> data;
  for (const uint64_t offset : {uint64_t{10}, uint64_t{12}, uint64_t{4000}, UINT64_MAX}) {
    data.fill(0xff);
    console_->ReadConfig(offset, std::as_writable_bytes(std::span(data)));
    EXPECT_THAT(data, testing::Each(0)) << offset;
  }
}

TEST_F(VirtioConsoleTest, InputOutputAndResizeWhileItServes) {
  session_->Start();
  std::thread window([this] {
    for (uint16_t i = 0; i < 1000; ++i) console_->Resize(i, i);
  });
  std::thread register_reader([this] {
    for (int i = 0; i < 1000; ++i) {
      const auto [cols, rows] = WindowSize();
      EXPECT_EQ(cols, rows);
      console_->Counters();
    }
  });
  for (int i = 0; i < 50; ++i) {
    // A buffer that comes after its input, then one that comes before.
    if (i % 2 == 0) Type("x");
    queue(kReceive).Add({}, {{kBuffer, 1}});
    if (queue(kReceive).NeedsNotification(true)) session_->Ring();
    if (i % 2 == 1) Type("x");
    const auto used = Eventually([&] { return queue(kReceive).TakeUsed(); },
                                 [](const auto& taken) { return taken.has_value(); });
    ASSERT_THAT(used.has_value() ? used->written : 0, 1u) << i;
    queue(kTransmit).Add({{kBuffer, 1}}, {});
    if (queue(kTransmit).NeedsNotification(true)) session_->Ring();
    ASSERT_TRUE(Eventually([&] { return queue(kTransmit).TakeUsed().has_value(); },
                           [](bool taken) { return taken; }));
  }
  window.join();
  register_reader.join();
  EXPECT_GE(Eventually([&] { return session_->config_changes(); },
                       [](uint64_t changes) { return changes > 0; }),
            1u);

  EXPECT_THAT(session_->Stop(), IsOk());
  EXPECT_EQ(output(), std::string(50, 'x'));
}

TEST_F(VirtioConsoleTest, AStopCutsALongRequestOff) {
  const std::unique_ptr<VirtioConsole> slow = *VirtioConsole::Create(
      port_,
      [this](std::span<const std::byte> bytes) {
        Take(bytes);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      },
      -1);
  DeviceSession session(port_, *slow, {8, 8}, slow->Features());
  session.queue(kTransmit).Add({{GuestAddress(0), 0x100000}}, {});
  session.Start();
  Eventually([&] { return output().size(); }, [](size_t size) { return size > 0; });

  EXPECT_THAT(session.Stop(), IsOk());

  EXPECT_LT(output().size(), 0x80000u);
}

}  // namespace
}  // namespace vmwire
