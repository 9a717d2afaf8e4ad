// A block device on its thread, with doorbells, and resets while it works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <span>
#include <thread>
#include <vector>

#include "tests/devices/block_fixture.h"
#include "tests/support/eventually.h"

namespace vmwire {
namespace {

class BlockThreadsTest : public BlockTest {
 protected:
  void AwaitAll(size_t count) {
    size_t taken = 0;
    Eventually([&] { return taken += Take(); }, [count](size_t all) { return all >= count; });
    EXPECT_EQ(taken, count);
  }
};

TEST_F(BlockThreadsTest, RequestsAreServedAtTheirDoorbell) {
  MakeDevice();
  session().Start();
  for (uint32_t i = 0; i < 100; ++i) {
    const auto data = Pattern(4096, i);
    Fill(kData, data);
    const Request write = Send(kBlockOut, i * 8, {{kData, 4096}}, {});
    session().Ring();
    AwaitAll(1);
    EXPECT_EQ(Result(write), (Outcome{BlockStatus::kOk, 1}));
    const Request read = Send(kBlockIn, i * 8, {}, {{kDataMiddle, 4096}});
    session().Ring();
    AwaitAll(1);
    EXPECT_EQ(Result(read), (Outcome{BlockStatus::kOk, 4097}));
    EXPECT_EQ(Copy(kDataMiddle, 4096), data);
  }

  EXPECT_THAT(session().Stop(), IsOk());
}

TEST_F(BlockThreadsTest, OnlyTheNotificationsThatTheDeviceAsksForAreNeeded) {
  MakeDevice();
  session().Start();
  size_t rung = 0;
  for (uint32_t i = 0; i < 2000; ++i) {
    Send(kBlockIn, i, {}, {{kData, 512}});
    if (queue().NeedsNotification(/*event_index=*/true)) {
      session().Ring();
      ++rung;
    }
    if (i % 4 == 3) AwaitAll(4);
  }

  EXPECT_THAT(session().Stop(), IsOk());
  EXPECT_LE(rung, 2000u);
  EXPECT_EQ(CounterOf(*device_, "reads"), 2000u);
}

TEST_F(BlockThreadsTest, DirectAndBufferedWritesOfOneBlockDoNotUndoEachOther) {
  MakeDevice({.direct = true});
  constexpr uint32_t kPairs = 8;
  for (uint32_t round = 0; round < 20; ++round) {
    const auto data = Pattern(2 * kPairs * 512, round);
    for (uint32_t i = 0; i < kPairs; ++i) {
      // The second is not aligned, and so goes through the page cache.
      const GuestAddress first(kData.value() + i * 4096);
      const GuestAddress second(kData.value() + i * 4096 + 1025);
      Fill(first, std::span(data).subspan(2 * i * 512, 512));
      Fill(second, std::span(data).subspan((2 * i + 1) * 512, 512));
      Send(kBlockOut, i * 8, {{first, 512}}, {});
      Send(kBlockOut, i * 8 + 1, {{second, 512}}, {});
    }
    ASSERT_THAT(session().ServeOnce(), IsOk());
    ASSERT_EQ(Take(), 2 * kPairs);
    ASSERT_EQ(Do(kBlockFlush, 0, {}, {}), (Outcome{BlockStatus::kOk, 1}));
    for (uint32_t i = 0; i < kPairs; ++i) {
      ASSERT_EQ(Do(kBlockIn, i * 8, {}, {{kDataMiddle, 1024}}), (Outcome{BlockStatus::kOk, 1025}));
      const auto expected = std::span(data).subspan(2 * i * 512, 1024);
      ASSERT_TRUE(std::ranges::equal(Memory(kDataMiddle, 1024), expected)) << "round " << round;
    }
  }
}

TEST_F(BlockThreadsTest, D27AStormOfDoorbellsIsHarmless) {
  MakeDevice();
  session().Start();
  std::atomic<bool> stop = false;
  std::thread storm([&] {
    while (!stop.load()) session().Ring();
  });
  for (uint32_t i = 0; i < 200; ++i) {
    Send(kBlockIn, i, {}, {{kData, 512}});
    AwaitAll(1);
  }

  EXPECT_THAT(session().Stop(), IsOk());
  stop = true;
  storm.join();
}

TEST_F(BlockThreadsTest, D32AfterAResetWithTransfersInFlightNoByteIsWrittenAndNothingIsMapped) {
  for (uint32_t round = 0; round < 30; ++round) {
    session_.reset();
    device_.reset();
    MakeDevice({.direct = round % 2 == 0}, {.registered_buffers = round % 3 != 0});
    session().Start();
    for (uint32_t i = 0; i < 20; ++i) {
      const GuestAddress place(kData.value() + i * (64 << 10));
      if (i % 5 == 4) {
        Send(kBlockFlush, 0, {}, {});
      } else if (i % 2 == 0) {
        Send(kBlockIn, i * 128, {}, {{place, 64 << 10}});
      } else {
        Send(kBlockOut, i * 128, {{place, 64 << 10}}, {});
      }
    }
    session().Ring();
    std::this_thread::sleep_for(std::chrono::microseconds(round * 20));

    EXPECT_THAT(session().Stop(), IsOk());

    EXPECT_EQ(port_.stats().live, 3u);  // The rings.
    // Whatever was on the way would be seen now.
    const auto marks = Pattern(20 * (64 << 10), 99);
    Fill(kData, marks);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_EQ(Copy(kData, marks.size()), marks);
    for (size_t used = Take(); used != 0; used = Take()) {
    }
  }
}

TEST_F(BlockThreadsTest, AResetEndsALongWriteOfZeroesEarly) {
  TemporaryDirectory shm("/dev/shm");
  constexpr uint64_t kLarge = uint64_t{1} << 31;
  path_ = shm.File("large.img", kLarge);
  MakeDevice();
  session().Start();
  const std::vector<BlockRange> ranges(16, {.sector = 0, .sectors = 1 << 18, .flags = 0});
  std::copy_n(reinterpret_cast<const std::byte*>(ranges.data()), 256, Memory(kData, 256).data());
  const Request request = Send(kBlockWriteZeroes, 0, {{kData, 256}}, {});
  session().Ring();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));

  EXPECT_THAT(session().Stop(), IsOk());

  Take();
  EXPECT_NE(Result(request).status, kNoStatus);
  EXPECT_LT(CounterOf(*device_, "operations"), 2048u);
}

TEST_F(BlockThreadsTest, AnIdleDeviceStopsAtOnce) {
  MakeDevice();
  for (int i = 0; i < 50; ++i) {
    session().Start();
    EXPECT_THAT(session().Stop(), IsOk());
  }
}

}  // namespace
}  // namespace vmwire
