// Resets of the DMA engine with work in flight: nothing is written once a reset is done. For
// ThreadSanitizer too.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <span>
#include <thread>

#include "tests/devices/dma_engine_fixture.h"

namespace vmwire {
namespace {

class DmaEngineResetTest : public DmaEngineFixture {
 protected:
  static constexpr uint32_t kLength = kMaxDmaLength;
  static constexpr uint64_t kLarge = 0x10000000;

  DmaEngineResetTest() { port_.AddMemory(GuestAddress(kLarge), kLength); }

  void FillRing() {
    for (uint32_t i = 0; i < kRingSize; ++i) Add(Fill(kLarge, kLength, 0x1111111111111111u * i));
    Ring();
  }
};

TEST_F(DmaEngineResetTest, D32ResetWithAFillInFlightEndsItAndNothingIsWrittenAfter) {
  std::mt19937 random(20250404);
  for (int round = 0; round < 5; ++round) {
    Start();
    FillRing();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));

    Reset();

    EXPECT_EQ(port_.stats().live, 0u);
    EXPECT_EQ(Get(kStatus), 0u);
    const std::span<std::byte> data = port_.Bytes(GuestAddress(kLarge), kLength);
    std::fill(data.begin(), data.end(), std::byte{0xee});
    const uint32_t head = Head();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(std::all_of(data.begin(), data.end(),
                            [](std::byte byte) { return byte == std::byte{0xee}; }));
    EXPECT_EQ(Head(), head);
  }
}

TEST_F(DmaEngineResetTest, ResetIsPromptWhateverIsInTheRing) {
  Start();
  FillRing();
  const auto begin = std::chrono::steady_clock::now();
  Reset();
  const auto took = std::chrono::steady_clock::now() - begin;

  EXPECT_LT(Head(), kRingSize) << "the ring was empty before the reset";
  EXPECT_LT(took, std::chrono::seconds(2));
}

TEST_F(DmaEngineResetTest, DeathOfTheEngineWithWorkInFlightIsAReset) {
  Start();
  FillRing();
  engine_.reset();
  EXPECT_EQ(port_.stats().live, 0u);
}

TEST_F(DmaEngineResetTest, ResetOfAnEngineThatNeedsOneOrNeverRanWorks) {
  Reset();
  Reset();
  Start();
  Counter(kDescriptors).store(UINT32_MAX);
  Ring();
  ASSERT_TRUE(WaitFor([&] { return Get(kStatus) == kNeedsReset; }));
  Reset();

  Start();
  Submit(Fill(kData, 8, 1));
  WaitDone();
}

TEST_F(DmaEngineResetTest, AccessesOfSeveralCpusAndARevokerAreSafe) {
  std::atomic<bool> end = false;
  std::thread prober([&] {
    while (!end.load()) {
      Get(kStatus);
      Get(kInterruptStatus);
      Set(kInterruptAck, 3);
      Ring();
    }
  });
  std::thread revoker([&] {
    while (!end.load()) {
      port_.Revoke(*GuestRange::Create(GuestAddress(kDescriptors), kPageSize));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  for (int round = 0; round < 100; ++round) {
    Start(kRun | kInterrupt);
    for (uint32_t i = 0; i < kRingSize; ++i) Submit(Fill(kData + i * kPageSize, kPageSize, i));
    Reset();
  }
  end.store(true);
  prober.join();
  revoker.join();

  EXPECT_EQ(port_.stats().live, 0u);
}

// Another CPU of the guest rewrites descriptors and the tail while the engine reads them.
TEST_F(DmaEngineResetTest, D21DescriptorsThatChangeAtAnyTimeEndInAStatusOrANeededReset) {
  std::atomic<bool> end = false;
  std::thread rewriter([&] {
    std::mt19937 random(20250405);
    const uint64_t words = kDmaRingHeaderSize / 8 + kRingSize * sizeof(DmaDescriptor) / 8;
    while (!end.load()) {
      const GuestAddress address(kDescriptors + (8 + random() % (words - 8)) * 8);
      std::atomic_ref<uint64_t>(port_.At<uint64_t>(address))
          .store(random() % 2 == 0 ? random() % 64 : kData, std::memory_order_relaxed);
    }
  });
  for (int round = 0; round < 50; ++round) {
    Start();
    for (uint32_t i = 1; i <= kRingSize; ++i) {
      Counter(kDescriptors).store(i);
      Ring();
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    Reset();
  }
  end.store(true);
  rewriter.join();

  EXPECT_EQ(port_.stats().live, 0u);
}

}  // namespace
}  // namespace vmwire
