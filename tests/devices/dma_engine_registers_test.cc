// The registers of the DMA engine, its interrupt, and what it says of guests that break its rules.
// Rows of the checklist of bad inputs have their number in the name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/devices/dma_engine_fixture.h"

namespace vmwire {
namespace {

using testing::Each;

class DmaEngineRegistersTest : public DmaEngineFixture {};

TEST_F(DmaEngineRegistersTest, IdentifiesItselfAndItsLimits) {
  EXPECT_EQ(Get(0x00), 0x414d4456u);
  EXPECT_EQ(Get(0x04), 1u);
  EXPECT_EQ(Get(0x08), kMaxDmaRingSize);
  EXPECT_EQ(Get(0x0c), kMaxDmaSegments);
  EXPECT_EQ(Get(0x10), kMaxDmaLength);
}

TEST_F(DmaEngineRegistersTest, RingsReadBackUntilAReset) {
  SetRings(8, 0x1122334455667740, 0x8877665544332200);
  EXPECT_EQ(Get(0x1c), 8u);
  EXPECT_EQ(Get(0x20), 0x55667740u);
  EXPECT_EQ(Get(0x24), 0x11223344u);
  EXPECT_EQ(Get(0x28), 0x44332200u);
  EXPECT_EQ(Get(0x2c), 0x88776655u);

  Reset();

  for (uint64_t offset = 0x14; offset < 0x30; offset += 4) EXPECT_EQ(Get(offset), 0u) << offset;
}

TEST_F(DmaEngineRegistersTest, D30WritesOfReadOnlyRegistersAreDropped) {
  std::vector<uint32_t> before;
  for (uint64_t offset = 0; offset < 0x14; offset += 4) before.push_back(Get(offset));
  for (uint64_t offset = 0; offset < 0x14; offset += 4) Set(offset, 0x5a5a5a5a);
  Set(kStatus, UINT32_MAX);
  Set(kErrorCount, UINT32_MAX);

  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(Get(i * 4), before[i]);
  EXPECT_EQ(Get(kStatus), 0u);
  EXPECT_EQ(Get(kErrorCount), 0u);
}

TEST_F(DmaEngineRegistersTest, D31OtherSizesAndUnalignedAccessesReadOnesAndAreDropped) {
  for (const size_t size : {1u, 2u, 3u, 8u}) {
    std::vector<std::byte> data(size, std::byte{0});
    engine_->Write(0x1c, data);
    engine_->Read(0x00, data);
    EXPECT_THAT(data, Each(std::byte{0xff})) << size;
  }
  std::array<std::byte, 4> data = {};
  engine_->Read(0x02, data);
  EXPECT_THAT(data, Each(std::byte{0xff}));
  Set(0x1e, 4);
  EXPECT_EQ(Get(0x1c), 0u);
  EXPECT_EQ(Get(0x40), UINT32_MAX);
  EXPECT_EQ(Get(0xffc), UINT32_MAX);
}

TEST_F(DmaEngineRegistersTest, RunServesWhatIsAvailable) {
  Add(Fill(kData, 64, 0x5a5a5a5a5a5a5a5a, 77));
  SetRings(kRingSize, kDescriptors, kCompletions);
  Set(kControl, kRun);
  EXPECT_EQ(Get(kStatus), kRunning);
  EXPECT_EQ(Get(kControl), kRun);
  WaitDone();

  EXPECT_EQ(CompletionOf(0).id, 77u);
  EXPECT_EQ(CompletionOf(0).status, DmaStatus::kOk);
  EXPECT_EQ(port_.At<uint64_t>(GuestAddress(kData + 56)), 0x5a5a5a5a5a5a5a5au);
  EXPECT_EQ(engine_->stats().descriptors, 1u);
  EXPECT_EQ(engine_->stats().bytes, 64u);
}

TEST_F(DmaEngineRegistersTest, DoorbellEventFdStandsInForTheRegister) {
  Start();
  Add(Fill(kData, 64, 1));
  const uint64_t one = 1;
  ASSERT_EQ(write(engine_->doorbell().fd(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));

  WaitDone();
}

TEST_F(DmaEngineRegistersTest, ManyDescriptorsGoThroughTheRingInOrder) {
  Start();
  for (uint32_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(WaitFor([&] { return tail_ - Head() < kRingSize; }));
    Submit(Fill(kData + i * 8, 8, i, i));
  }
  WaitDone();

  for (uint32_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(port_.At<uint64_t>(GuestAddress(kData + i * 8)), i);
  }
  EXPECT_EQ(CompletionOf(999).id, 999u);
}

TEST_F(DmaEngineRegistersTest, InterruptIsOneEdgeUntilItIsAcknowledged) {
  Start(kRun | kInterrupt);
  Submit(Fill(kData, 8, 1));
  ASSERT_TRUE(WaitFor([&] { return line_.edges() == 1; }));
  EXPECT_EQ(Get(kInterruptStatus), 1u);
  Submit(Fill(kData, 8, 1));
  ASSERT_TRUE(WaitFor([&] { return engine_->stats().bytes == 16; }));

  Set(kInterruptAck, 1);
  const uint64_t before = line_.edges();
  Submit(Fill(kData, 8, 1));

  EXPECT_TRUE(WaitFor([&] { return line_.edges() == before + 1; }));
}

TEST_F(DmaEngineRegistersTest, NoInterruptUnlessAllowedOrIfTheDescriptorWantsNone) {
  Start(kRun);
  Submit(Fill(kData, 8, 1));
  WaitDone();
  ASSERT_TRUE(WaitFor([&] { return Get(kInterruptStatus) == 1; }));
  EXPECT_EQ(line_.edges(), 0u);
  Set(kInterruptAck, 1);
  Set(kControl, kRun | kInterrupt);
  DmaDescriptor quiet = Fill(kData, 8, 1);
  quiet.flags = kDmaNoInterrupt;
  Submit(quiet);
  WaitDone();
  Reset();

  EXPECT_EQ(line_.edges(), 0u);
}

TEST_F(DmaEngineRegistersTest, InterruptThatIsAllowedLateIsNotLost) {
  Start(kRun);
  Submit(Fill(kData, 8, 1));
  ASSERT_TRUE(WaitFor([&] { return Get(kInterruptStatus) == 1; }));

  Set(kControl, kRun | kInterrupt);

  EXPECT_EQ(line_.edges(), 1u);
}

TEST_F(DmaEngineRegistersTest, BadDescriptorIsCountedReportedAndInterruptsAndTheNextOneWorks) {
  Start(kRun | kInterrupt);
  DmaDescriptor bad = Fill(0, 8, 1, 5);
  bad.flags = kDmaNoInterrupt;
  Submit(bad);
  ASSERT_TRUE(WaitFor([&] { return line_.edges() == 1; }));
  Submit(Fill(kData, 8, 1));
  WaitDone();

  EXPECT_EQ(CompletionOf(0).status, DmaStatus::kBadDestination);
  EXPECT_EQ(CompletionOf(1).status, DmaStatus::kOk);
  EXPECT_EQ(Get(kErrorCount), 1u);
  EXPECT_EQ(Get(kStatus), kRunning);
  EXPECT_EQ(log_.errors("DMA engine"), 1u);
  Reset();
  EXPECT_EQ(Get(kErrorCount), 0u);
  EXPECT_EQ(engine_->stats().errors, 1u);
}

TEST_F(DmaEngineRegistersTest, D34DestinationThatIsADeviceIsRefused) {
  Start();
  Submit(Fill(0xd0000000 + kControl, 4, kReset));
  WaitDone();

  EXPECT_EQ(CompletionOf(0).status, DmaStatus::kBadDestination);
  EXPECT_EQ(Get(kStatus), kRunning);
}

TEST_F(DmaEngineRegistersTest, D22D23D24BadRingsNeedAResetAndAreReportedOnce) {
  const auto expect_needs_reset = [this](uint32_t size, uint64_t descriptors,
                                         uint64_t completions) {
    const uint64_t reported = log_.errors("DMA engine");
    SetRings(size, descriptors, completions);
    Set(kControl, kRun);
    EXPECT_EQ(Get(kStatus), kNeedsReset);
    EXPECT_EQ(Get(kInterruptStatus), 2u);
    Set(kControl, kRun);  // Dropped until there is a reset.
    EXPECT_EQ(log_.errors("DMA engine"), reported + 1);
    Reset();
    EXPECT_EQ(Get(kStatus), 0u);
  };

  expect_needs_reset(0, kDescriptors, kCompletions);
  expect_needs_reset(12, kDescriptors, kCompletions);
  expect_needs_reset(16, kDescriptors + 8, kCompletions);
  expect_needs_reset(16, kDescriptors, kCompletions + 4);
  expect_needs_reset(16, 0, kCompletions);
  expect_needs_reset(16, kDescriptors, UINT64_MAX - 63);

  Start();
  Submit(Fill(kData, 8, 1));
  WaitDone();
  EXPECT_EQ(engine_->stats().resets_needed, 6u);
}

TEST_F(DmaEngineRegistersTest, D12BadTailNeedsAResetAndUnmapsTheRings) {
  Start(kRun | kInterrupt);
  Counter(kDescriptors).store(kRingSize + 1);
  Ring();

  ASSERT_TRUE(WaitFor([&] { return line_.edges() == 1; }));
  EXPECT_EQ(Get(kStatus), kNeedsReset);
  EXPECT_EQ(Get(kInterruptStatus), 2u);
  EXPECT_EQ(port_.stats().live, 0u);
  EXPECT_EQ(log_.errors("DMA engine"), 1u);
}

TEST_F(DmaEngineRegistersTest, D25RingsMovedWhileRunningStayWhereTheyWere) {
  Start();
  SetRings(2, 0, 0);
  EXPECT_EQ(Get(0x1c), kRingSize);
  Submit(Fill(kData, 8, 1));
  WaitDone();
}

TEST_F(DmaEngineRegistersTest, D26DoorbellBeforeRunIsIgnored) {
  Ring();
  EXPECT_EQ(Get(kStatus), 0u);
  EXPECT_EQ(port_.stats().mapped, 0u);
  Start();
  Submit(Fill(kData, 8, 1));
  WaitDone();
}

TEST_F(DmaEngineRegistersTest, D27DoorbellStormIsCoalesced) {
  Start();
  for (int i = 0; i < 100'000; ++i) Ring();
  Submit(Fill(kData, 8, 1));
  WaitDone();

  EXPECT_EQ(engine_->stats().descriptors, 1u);
}

TEST_F(DmaEngineRegistersTest, FailureToMapTheRingsNeedsAResetAndThenItWorks) {
  for (const uint64_t n : {1u, 2u}) {
    port_.FailMap(n);
    Start();
    EXPECT_EQ(Get(kStatus), kNeedsReset);
    EXPECT_EQ(port_.stats().live, 0u);
    Reset();
  }
  Start();
  EXPECT_EQ(Get(kStatus), kRunning);
}

TEST_F(DmaEngineRegistersTest, RevokedRingsAreLetGoOfAndNeedAReset) {
  Start();
  port_.Revoke(*GuestRange::Create(GuestAddress(kData), kPageSize));
  EXPECT_EQ(Get(kStatus), kRunning);

  port_.Revoke(*GuestRange::Create(GuestAddress(kCompletions), kPageSize));

  ASSERT_TRUE(WaitFor([&] { return Get(kStatus) == kNeedsReset; }));
  EXPECT_EQ(port_.stats().live, 0u);
  Reset();
  Start();
  Submit(Fill(kData, 8, 1));
  WaitDone();
}

TEST_F(DmaEngineRegistersTest, RandomRegisterAccessesLeaveItUsable) {
  std::mt19937 random(20250403);
  for (int i = 0; i < 20'000; ++i) {
    const auto offset = static_cast<uint64_t>(random() % 0x44);
    if (random() % 2 == 0) {
      Get(offset);
    } else {
      Set(offset, static_cast<uint32_t>(random() % 4 == 0 ? random() : random() % 8));
    }
  }
  Reset();
  Start();
  Submit(Fill(kData, 8, 1));
  WaitDone();
}

}  // namespace
}  // namespace vmwire
