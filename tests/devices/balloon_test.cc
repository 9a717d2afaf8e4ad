#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "devices/virtio/balloon/virtio_balloon.h"
#include "memory/page_range.h"
#include "tests/devices/device_session.h"
#include "tests/devices/virtio_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;
using Used = DriverQueue::Used;

constexpr size_t kInflate = VirtioBalloon::kInflateQueue;
constexpr size_t kDeflate = VirtioBalloon::kDeflateQueue;
constexpr size_t kStats = VirtioBalloon::kStatsQueue;
constexpr size_t kReporting = VirtioBalloon::kReportingQueue;
constexpr GuestAddress kBuffer(0x1000);
constexpr uint64_t kNoFeatures = 0;

class VirtioBalloonTest : public VirtioDeviceTest {
 protected:
  VirtioBalloonTest() : balloon_(*VirtioBalloon::Create(port_)) { Negotiate(balloon_->Features()); }

  // A new session.
  void Negotiate(uint64_t features) {
    session_.reset();
    session_ = std::make_unique<DeviceSession>(port_, *balloon_,
                                               std::vector<uint16_t>{8, 8, 8, 8, 8}, features);
  }
  // Puts `numbers` at kBuffer and makes them available.
  uint16_t AddPageNumbers(size_t queue, const std::vector<uint32_t>& numbers) {
    const auto bytes = static_cast<uint32_t>(numbers.size() * sizeof(uint32_t));
    std::memcpy(Memory(kBuffer.value(), bytes).data(), numbers.data(), bytes);
    return session_->queue(queue).Add({{kBuffer, bytes}}, {});
  }
  uint16_t AddStats(const std::vector<std::pair<uint16_t, uint64_t>>& stats, uint32_t extra = 0) {
    uint64_t at = kBuffer.value();
    for (const auto& [tag, value] : stats) {
      std::memcpy(Memory(at, 2).data(), &tag, 2);
      std::memcpy(Memory(at + 2, 8).data(), &value, 8);
      at += 10;
    }
    const auto bytes = static_cast<uint32_t>(at - kBuffer.value());
    return session_->queue(kStats).Add({{kBuffer, bytes + extra}}, {});
  }
  static GuestRange Page(uint64_t number) {
    return *GuestRange::Create(GuestAddress(number * kPageSize), kPageSize);
  }
  uint64_t Counter(const std::string& name) { return CounterOf(*balloon_, name); }
  uint32_t ConfigWord(uint64_t offset) {
    std::array<uint32_t, 1> word;
    balloon_->ReadConfig(offset, std::as_writable_bytes(std::span(word)));
    return word[0];
  }

  std::unique_ptr<VirtioBalloon> balloon_;
  std::unique_ptr<DeviceSession> session_;
};

TEST_F(VirtioBalloonTest, InflatedPagesAreDiscardedInAnyOrder) {
  const uint16_t head = AddPageNumbers(kInflate, {0x42, 0x20, 0x21, 0x41, 0x40});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(port_.discarded_pages(), ElementsAre(0x20, 0x21, 0x40, 0x41, 0x42));
  EXPECT_THAT(session_->queue(kInflate).TakeUsed(), Optional(Used{head, 0}));
  EXPECT_EQ(session_->interrupts(), 1u);
  EXPECT_EQ(Counter("inflated_pages"), 5u);
  EXPECT_EQ(Counter("discarded_pages"), 5u);
}

TEST_F(VirtioBalloonTest, PageNumbersMaySpanBuffersAndBatches) {
  std::vector<uint32_t> numbers;
  for (uint32_t i = 0; i < 0x60; ++i) numbers.push_back(0x10 + i);
  for (uint32_t i = 0; i < 200; ++i) numbers.push_back(0x10);
  for (uint32_t i = 0; i < 4; ++i) numbers.push_back(0x70 + i);
  const auto bytes = static_cast<uint32_t>(numbers.size() * 4);
  std::memcpy(Memory(0x1000, bytes).data(), numbers.data(), bytes);
  // In the middle of a number.
  session_->queue(kInflate).Add({{kBuffer, 6}, {GuestAddress(0x1006), bytes - 6 + 3}}, {});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(port_.discarded_pages().size(), 0x64u);
  EXPECT_EQ(Counter("inflated_pages"), 300u);
}

TEST_F(VirtioBalloonTest, M50AWiredPageIsRefusedAndCountedAndKeepsNoOther) {
  port_.SetWired(Page(0x43));
  Memory(0x43 * kPageSize, 1)[0] = std::byte{7};
  AddPageNumbers(kInflate, {0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(port_.discarded_pages(), ElementsAre(0x40, 0x41, 0x42, 0x44, 0x45, 0x46));
  EXPECT_EQ(Memory(0x43 * kPageSize, 1)[0], std::byte{7});
  EXPECT_EQ(Counter("refused_pages"), 1u);
  EXPECT_EQ(Counter("discarded_pages"), 6u);
}

TEST_F(VirtioBalloonTest, M51APageNumberOutsideMemoryIsIgnoredAndCounted) {
  AddPageNumbers(kInflate, {0xfe, 0xff, 0x100, 0x101, 0xffffffff});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(port_.discarded_pages(), ElementsAre(0xfe, 0xff));
  EXPECT_EQ(Counter("outside_pages"), 3u);
  EXPECT_EQ(Counter("refused_pages"), 0u);
}

TEST_F(VirtioBalloonTest, M52APageThatComesTwiceIsDiscardedAsOnce) {
  AddPageNumbers(kInflate, {0x40, 0x40});
  AddPageNumbers(kInflate, {0x40, 0x40});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(port_.discarded_pages(), ElementsAre(0x40));
  EXPECT_EQ(Counter("refused_pages"), 0u);
}

TEST_F(VirtioBalloonTest, DeflatedPagesAreOnlyCounted) {
  const uint16_t head = AddPageNumbers(kDeflate, {0x40, 0x41, 0xffffffff});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(session_->queue(kDeflate).TakeUsed(), Optional(Used{head, 0}));
  EXPECT_THAT(port_.discarded_pages(), IsEmpty());
  EXPECT_EQ(Counter("deflated_pages"), 3u);
}

TEST_F(VirtioBalloonTest, D6ABufferOfLengthZeroNamesNoPage) {
  const uint16_t head = session_->queue(kInflate).Add({{kBuffer, 0}}, {});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(session_->queue(kInflate).TakeUsed(), Optional(Used{head, 0}));
}

TEST_F(VirtioBalloonTest, AWritableBufferWherePageNumbersBelongNeedsAReset) {
  for (const size_t queue : {kInflate, kDeflate, kStats}) {
    Negotiate(balloon_->Features());
    session_->queue(queue).Add({}, {{kBuffer, 4}});

    EXPECT_THAT(session_->ServeOnce(), StatusIs(absl::StatusCode::kInvalidArgument)) << queue;
  }
}

TEST_P(VirtioBalloonTest, BadBufferOfPageNumbersOrStatisticsNeedsAReset) {
  for (const size_t queue : {kInflate, kDeflate, kStats}) {
    Negotiate(balloon_->Features());
    session_->queue(queue).Add({GetParam().buffer}, {});

    EXPECT_THAT(session_->ServeOnce(), StatusIs(GetParam().code)) << queue;

    EXPECT_EQ(session_->queue(queue).TakeUsed(), std::nullopt) << queue;
  }
  EXPECT_THAT(port_.discarded_pages(), IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Rows, VirtioBalloonTest, testing::ValuesIn(BuffersOutsideMemory()),
                         NameOf);

TEST_F(VirtioBalloonTest, AMapThatFailsIsTheErrorAndLeavesNothingMapped) {
  const uint64_t live = port_.stats().live;
  for (uint64_t n = 1; n <= 2; ++n) {
    AddPageNumbers(kInflate, std::vector<uint32_t>(300, 0x40));
    port_.FailMap(n);

    EXPECT_THAT(session_->ServeOnce(), StatusIs(absl::StatusCode::kResourceExhausted)) << n;
    EXPECT_EQ(port_.stats().live, live) << n;
  }
}

TEST_F(VirtioBalloonTest, StatisticsAreKeptAndTheirBufferIsGivenBackAtARequest) {
  const uint16_t head = AddStats({{4, 1000}, {5, 2000}, {4, 3000}});
  balloon_->RequestStats();

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(Counter("guest_free_bytes"), 3000u);
  EXPECT_EQ(Counter("guest_total_bytes"), 2000u);
  EXPECT_FALSE(HasCounter(*balloon_, "guest_swap_in_bytes"));
  EXPECT_EQ(Counter("stats_updates"), 1u);
  EXPECT_THAT(session_->queue(kStats).TakeUsed(), Optional(Used{head, 0}));
  EXPECT_EQ(session_->interrupts(), 1u);
}

TEST_F(VirtioBalloonTest, WithoutARequestTheBufferOfStatisticsIsKept) {
  AddStats({{4, 1000}});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(Counter("guest_free_bytes"), 1000u);
  EXPECT_EQ(session_->queue(kStats).TakeUsed(), std::nullopt);
}

TEST_F(VirtioBalloonTest, UnknownTagsAndHalfAnEntryAreLeftOut) {
  AddStats({{10, 1}, {0xffff, 2}, {0, 3}}, /*extra=*/9);

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(Counter("guest_swap_in_bytes"), 3u);
  EXPECT_EQ(Counter("stats_updates"), 1u);
}

TEST_F(VirtioBalloonTest, ALongBufferOfStatisticsIsLookedAtInPartOnly) {
  AddStats({{4, 1}}, /*extra=*/0x70000);

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(Counter("guest_free_bytes"), 1u);
}

TEST_F(VirtioBalloonTest, ASecondBufferOfStatisticsNeedsAReset) {
  AddStats({{4, 1}});
  AddStats({{4, 1}});
  session_->Start();

  EXPECT_THAT(session_->Join(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Counter("stats_updates"), 1u);
}

TEST_F(VirtioBalloonTest, StatisticsThatWereNotNegotiatedAreNotServed) {
  Negotiate(kNoFeatures);
  AddStats({{4, 1}});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(Counter("stats_updates"), 0u);
}

TEST_F(VirtioBalloonTest, OfAReportTheWholePagesAreDiscarded) {
  const uint16_t head = session_->queue(kReporting)
                            .Add({}, {{GuestAddress(0x40001), 0x3000},
                                      {GuestAddress(0x50000), 0x2fff},
                                      {GuestAddress(0x60010), 0x20}});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(port_.discarded_pages(), ElementsAre(0x41, 0x42, 0x50, 0x51));
  EXPECT_THAT(session_->queue(kReporting).TakeUsed(), Optional(Used{head, 0}));
  EXPECT_EQ(Counter("reported_pages"), 4u);
}

TEST_F(VirtioBalloonTest, AReportIsNotMapped) {
  const uint64_t mapped = port_.stats().mapped;
  session_->queue(kReporting).Add({}, {{GuestAddress(0x40000), 0x2000}});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(port_.stats().mapped, mapped);
}

TEST_F(VirtioBalloonTest, M50AWiredPageOfAReportIsRefusedAndCounted) {
  port_.SetWired(Page(0x41));
  session_->queue(kReporting).Add({}, {{GuestAddress(0x40000), 0x3000}});

  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_THAT(port_.discarded_pages(), ElementsAre(0x40, 0x42));
  EXPECT_EQ(Counter("refused_pages"), 1u);
}

TEST_F(VirtioBalloonTest, D1ToD7AReportThatLeavesMemoryNeedsAReset) {
  for (const BadBuffer& bad : BuffersOutsideMemory()) {
    // Those that end beyond 64 bits, or hold a page that is no memory.
    VirtqueueBuffer report = bad.buffer;
    if (report.length < kPageSize) report.length = 2 * kPageSize;
    Negotiate(balloon_->Features());
    session_->queue(kReporting).Add({}, {report});

    EXPECT_FALSE(session_->ServeOnce().ok()) << bad.name;
    EXPECT_EQ(session_->queue(kReporting).TakeUsed(), std::nullopt) << bad.name;
  }
}

TEST_F(VirtioBalloonTest, AReadableBufferInAReportNeedsAReset) {
  session_->queue(kReporting).Add({{kBuffer, 4096}}, {});

  EXPECT_THAT(session_->ServeOnce(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(VirtioBalloonTest, AReportComesByTheQueuesNumberOrByThatOfLinux) {
  const auto report = [this](size_t queue) {
    session_->queue(queue).Add({}, {{GuestAddress(0x40000), 0x1000}});
    EXPECT_THAT(session_->ServeOnce(), IsOk());
    return session_->queue(queue).TakeUsed().has_value();
  };

  EXPECT_TRUE(report(4));
  EXPECT_TRUE(report(3));
  Negotiate(VirtioBalloon::kFeatureReporting);
  EXPECT_TRUE(report(2));
  Negotiate(kNoFeatures);
  EXPECT_FALSE(report(4));
}

TEST_F(VirtioBalloonTest, ATargetShowsInTheConfigurationAndTellsTheDriverOnce) {
  balloon_->SetTarget(17);
  balloon_->SetTarget(18);

  ASSERT_THAT(session_->ServeOnce(), IsOk());
  ASSERT_THAT(session_->ServeOnce(), IsOk());

  EXPECT_EQ(ConfigWord(0), 18u);
  EXPECT_EQ(session_->config_changes(), 1u);
  EXPECT_EQ(Counter("target_pages"), 18u);
}

TEST_F(VirtioBalloonTest, TheDriverSaysHowManyPagesThereAre) {
  const std::array<uint32_t, 1> actual = {12};

  balloon_->WriteConfig(4, std::as_bytes(std::span(actual)));

  EXPECT_EQ(balloon_->actual(), 12u);
  EXPECT_EQ(ConfigWord(4), 12u);
}

TEST_F(VirtioBalloonTest, D30WritesToTheRestOfTheConfigurationAreDropped) {
  const std::array<uint32_t, 2> words = {12, 13};
  for (const uint64_t offset : {uint64_t{0}, uint64_t{5}, uint64_t{8}, UINT64_MAX}) {
    balloon_->WriteConfig(offset, std::as_bytes(std::span(words)).first(4));
  }
  balloon_->WriteConfig(4, std::as_bytes(std::span(words)));
  balloon_->WriteConfig(4, std::as_bytes(std::span(words)).first(1));

  EXPECT_EQ(ConfigWord(0), 0u);
  EXPECT_EQ(ConfigWord(4), 0u);
  EXPECT_EQ(ConfigWord(8), 0u);
}

TEST_F(VirtioBalloonTest, InflatesRequestsAndTargetsWhileItServes) {
  session_->Start();
  std::thread manager([this] {
    for (uint32_t i = 0; i < 500; ++i) {
      balloon_->SetTarget(i);
      balloon_->RequestStats();
      balloon_->Counters();
    }
  });
  for (uint32_t i = 0; i < 50; ++i) {
    AddPageNumbers(kInflate, {0x20 + i});
    if (session_->queue(kInflate).NeedsNotification(true)) session_->Ring();
    ASSERT_TRUE(Eventually([&] { return session_->queue(kInflate).TakeUsed().has_value(); },
                           [](bool taken) { return taken; }))
        << i;
  }
  AddStats({{4, 1}});
  if (session_->queue(kStats).NeedsNotification(true)) session_->Ring();
  manager.join();
  balloon_->RequestStats();
  EXPECT_TRUE(Eventually([&] { return session_->queue(kStats).TakeUsed().has_value(); },
                         [](bool taken) { return taken; }));

  EXPECT_THAT(session_->Stop(), IsOk());
  EXPECT_EQ(port_.discarded_pages().size(), 50u);
  EXPECT_EQ(ConfigWord(0), 499u);
  EXPECT_GE(session_->config_changes(), 1u);
}

}  // namespace
}  // namespace vmwire
