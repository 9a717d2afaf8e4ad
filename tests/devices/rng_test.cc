#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

#include "devices/virtio/rng/virtio_rng.h"
#include "tests/devices/device_session.h"
#include "tests/devices/virtio_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::Each;
using testing::Optional;
using Used = DriverQueue::Used;

constexpr GuestAddress kBuffer(0x1000);

class VirtioRngTest : public VirtioDeviceTest {
 protected:
  // 0xa5 for ever, or for as long as `left_` lasts.
  size_t Take(std::span<std::byte> out) {
    const size_t count = std::min(out.size(), left_);
    std::fill_n(out.begin(), count, std::byte{0xa5});
    left_ -= count;
    longest_ = std::max(longest_, out.size());
    return count;
  }

  size_t left_ = SIZE_MAX;
  size_t longest_ = 0;
  VirtioRng rng_{port_, [this](std::span<std::byte> out) { return Take(out); }};
  DeviceSession session_{port_, rng_, {8}, 0};
};

TEST_F(VirtioRngTest, AnAvailableBufferIsFilledAndGivenBackWithAnInterrupt) {
  const uint16_t head = session_.queue(0).Add({}, {{kBuffer, 100}});

  ASSERT_THAT(session_.ServeOnce(), IsOk());

  EXPECT_THAT(session_.queue(0).TakeUsed(), Optional(Used{head, 100}));
  EXPECT_THAT(Memory(0x1000, 100), Each(std::byte{0xa5}));
  EXPECT_THAT(Memory(0x1000 + 100, 100), Each(std::byte{0}));
  EXPECT_EQ(session_.interrupts(), 1u);
  EXPECT_EQ(CounterOf(rng_, "bytes"), 100u);
}

TEST_F(VirtioRngTest, AllBuffersOfAChainAreFilledInOrder) {
  const uint16_t head = session_.queue(0).Add({}, {{kBuffer, 5000}, {GuestAddress(0x9000), 7}});

  ASSERT_THAT(session_.ServeOnce(), IsOk());

  EXPECT_THAT(session_.queue(0).TakeUsed(), Optional(Used{head, 5007}));
  EXPECT_THAT(Memory(0x1000, 5000), Each(std::byte{0xa5}));
  EXPECT_THAT(Memory(0x9000, 7), Each(std::byte{0xa5}));
  EXPECT_EQ(Memory(0x9000 + 7, 1)[0], std::byte{0});
}

TEST_F(VirtioRngTest, D4ABufferThatSpansTwoRegionsIsFilled) {
  const uint16_t head = session_.queue(0).Add({}, {{GuestAddress(kSecondRegion - 10), 20}});

  ASSERT_THAT(session_.ServeOnce(), IsOk());

  EXPECT_THAT(session_.queue(0).TakeUsed(), Optional(Used{head, 20}));
  EXPECT_THAT(Memory(kSecondRegion - 10, 10), Each(std::byte{0xa5}));
  EXPECT_THAT(Memory(kSecondRegion, 10), Each(std::byte{0xa5}));
}

TEST_F(VirtioRngTest, D6ABufferOfLengthZeroIsGivenBackEmpty) {
  const uint16_t head = session_.queue(0).Add({}, {{kBuffer, 0}});

  ASSERT_THAT(session_.ServeOnce(), IsOk());

  EXPECT_THAT(session_.queue(0).TakeUsed(), Optional(Used{head, 0}));
}

TEST_F(VirtioRngTest, ARequestGetsNoMoreThanItsBoundThroughABufferOfFixedSize) {
  const uint16_t head = session_.queue(0).Add({}, {{kBuffer, 0x20000}});

  ASSERT_THAT(session_.ServeOnce(), IsOk());

  EXPECT_THAT(session_.queue(0).TakeUsed(), Optional(Used{head, VirtioRng::kMaxRequest}));
  EXPECT_EQ(Memory(0x1000 + VirtioRng::kMaxRequest, 1)[0], std::byte{0});
  EXPECT_EQ(longest_, 4096u);
}

TEST_F(VirtioRngTest, ASourceThatGivesLessMakesTheRequestShort) {
  left_ = 4100;
  const uint16_t head = session_.queue(0).Add({}, {{kBuffer, 8192}});

  ASSERT_THAT(session_.ServeOnce(), IsOk());

  EXPECT_THAT(session_.queue(0).TakeUsed(), Optional(Used{head, 4100}));
}

TEST_F(VirtioRngTest, ASourceThatGivesNothingNeedsAReset) {
  left_ = 0;
  session_.queue(0).Add({}, {{kBuffer, 16}});

  EXPECT_THAT(session_.ServeOnce(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(session_.queue(0).TakeUsed(), std::nullopt);
}

TEST_F(VirtioRngTest, AReadableBufferNeedsAReset) {
  session_.queue(0).Add({{kBuffer, 16}}, {{kBuffer, 16}});

  EXPECT_THAT(session_.ServeOnce(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(VirtioRngTest, BadBufferNeedsAReset) {
  const uint16_t good = session_.queue(0).Add({}, {{kBuffer, 16}});
  session_.queue(0).Add({}, {GetParam().buffer});

  EXPECT_THAT(session_.ServeOnce(), StatusIs(GetParam().code));

  EXPECT_THAT(session_.queue(0).TakeUsed(), Optional(Used{good, 16}));
  EXPECT_EQ(session_.queue(0).TakeUsed(), std::nullopt);
  EXPECT_EQ(session_.interrupts(), 1u);
  EXPECT_EQ(port_.written_bytes(GuestAddress(DeviceSession::kQueues)), 16u)
      << "no part of the bad one";
}
INSTANTIATE_TEST_SUITE_P(Rows, VirtioRngTest, testing::ValuesIn(BuffersNotWritable()), NameOf);

TEST_F(VirtioRngTest, AMapThatFailsIsTheErrorAndLeavesNothingMapped) {
  const uint64_t live = port_.stats().live;
  for (uint64_t n = 1; n <= 3; ++n) {
    session_.queue(0).Add({}, {{kBuffer, 12288}});
    port_.FailMap(n);

    EXPECT_THAT(session_.ServeOnce(), StatusIs(absl::StatusCode::kResourceExhausted)) << n;
    EXPECT_EQ(port_.stats().live, live) << n;
  }
}

TEST_F(VirtioRngTest, AnEmptyQueueAndOneThatIsNotEnabledAreServed) {
  DeviceSession without(port_, rng_, {0}, 0);

  EXPECT_THAT(session_.ServeOnce(), IsOk());
  EXPECT_THAT(without.ServeOnce(), IsOk());
  EXPECT_EQ(session_.interrupts(), 0u);
}

TEST_F(VirtioRngTest, BuffersThatComeWhileItServesAreFilledAfterADoorbell) {
  session_.Start();
  for (int i = 0; i < 100; ++i) {
    session_.queue(0).Add({}, {{kBuffer, 64}});
    if (session_.queue(0).NeedsNotification(true)) session_.Ring();

    const auto used = Eventually([&] { return session_.queue(0).TakeUsed(); },
                                 [](const auto& taken) { return taken.has_value(); });

    ASSERT_TRUE(used.has_value()) << i;
    EXPECT_EQ(used->written, 64u);
  }
  EXPECT_THAT(session_.Stop(), IsOk());
}

TEST_F(VirtioRngTest, NoBufferIsOverlookedThatComesAsTheDeviceGoesToSleep) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  session_.Start();
  for (int i = 0; i < 5000; ++i) {
    // At every moment of what the device does after it gave the last one back.
    for (volatile int delay = i % 500; delay > 0;) delay = delay - 1;
    session_.queue(0).Add({}, {{kBuffer, 1}});
    if (session_.queue(0).NeedsNotification(true)) session_.Ring();
    while (!session_.queue(0).TakeUsed().has_value()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << i;
    }
  }
  EXPECT_THAT(session_.Stop(), IsOk());
}

TEST_F(VirtioRngTest, ThereIsNoConfigurationSpace) {
  std::array<std::byte, 8> data;
  data.fill(std::byte{1});
  rng_.WriteConfig(0, data);

  rng_.ReadConfig(0, data);

  EXPECT_THAT(data, Each(std::byte{0}));
}

TEST(HostRandomTest, FillsTheWholeOfALongBuffer) {
  std::vector<std::byte> bytes(4096);

  EXPECT_EQ(HostRandom(bytes), bytes.size());

  // That 64 bytes at the end are all zero has a chance of 2^-512.
  EXPECT_THAT(std::span(bytes).last(64), testing::Not(Each(std::byte{0})));
}

}  // namespace
}  // namespace vmwire
