// The rings of the DMA engine, and the loop that serves them, in one thread. Rows of the checklist
// of bad inputs have their number in the name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "devices/dma_engine/dma_ring.h"
#include "devices/dma_engine/dma_worker.h"
#include "tests/fakes/fake_dma_port.h"

namespace vmwire {
namespace {

constexpr uint64_t kMemory = 0x10000;
constexpr uint64_t kMemorySize = 0x40000;
constexpr GuestAddress kDescriptors(kMemory);
constexpr GuestAddress kCompletions(kMemory + 0x20000);
constexpr uint64_t kReadOnly = 0x100000;

class DmaRingTest : public testing::Test {
 protected:
  DmaRingTest() {
    port_.AddMemory(GuestAddress(kMemory), kMemorySize);
    port_.AddMemory(GuestAddress(kReadOnly), 2 * kPageSize, Protection::kRead);
  }

  DmaRing MakeRing(uint32_t size = 4) {
    absl::StatusOr<DmaRing> ring = DmaRing::Create(port_, Config(size));
    EXPECT_TRUE(ring.ok()) << ring.status();
    return *std::move(ring);
  }
  static DmaRingConfig Config(uint32_t size) {
    return {.size = size, .descriptors = kDescriptors, .completions = kCompletions};
  }
  absl::StatusCode CodeOf(const DmaRingConfig& config) {
    return DmaRing::Create(port_, config).status().code();
  }

  DmaDescriptor& Slot(uint32_t slot) {
    return port_.At<DmaDescriptor>(
        GuestAddress(kMemory + kDmaRingHeaderSize + slot * sizeof(DmaDescriptor)));
  }
  const DmaCompletion& Done(uint32_t slot) {
    return port_.At<DmaCompletion>(
        GuestAddress(kCompletions.value() + kDmaRingHeaderSize + slot * sizeof(DmaCompletion)));
  }
  uint32_t& Tail() { return port_.At<uint32_t>(kDescriptors); }
  uint32_t Head() { return port_.At<uint32_t>(kCompletions); }

  FakeDmaPort port_;
};

TEST_F(DmaRingTest, CreateStoresHeadZero) {
  port_.At<uint32_t>(kCompletions) = 17;
  const DmaRing ring = MakeRing();
  EXPECT_EQ(Head(), 0u);
}

TEST_F(DmaRingTest, D22SizeZeroNotAPowerOfTwoOrTooLargeIsRefused) {
  for (const uint32_t size : {0u, 3u, 6u, 2 * kMaxDmaRingSize, UINT32_MAX}) {
    EXPECT_EQ(CodeOf(Config(size)), absl::StatusCode::kInvalidArgument) << size;
  }
  for (const uint32_t size : {1u, 2u, kMaxDmaRingSize}) {
    EXPECT_EQ(CodeOf(Config(size)), absl::StatusCode::kOk) << size;
  }
}

TEST_F(DmaRingTest, D23MisalignedRingIsRefused) {
  for (const uint64_t offset : {1u, 8u, 32u}) {
    DmaRingConfig config = Config(4);
    config.descriptors = GuestAddress(kMemory + offset);
    EXPECT_EQ(CodeOf(config), absl::StatusCode::kInvalidArgument);
    config = Config(4);
    config.completions = GuestAddress(kMemory + offset);
    EXPECT_EQ(CodeOf(config), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(DmaRingTest, D24D33RingOutsideMemoryIsRefused) {
  DmaRingConfig config = Config(4);
  config.descriptors = GuestAddress(kMemory + kMemorySize - 64);
  EXPECT_EQ(CodeOf(config), absl::StatusCode::kNotFound);
  config = Config(4);
  config.completions = GuestAddress(kMemory + kMemorySize);
  EXPECT_EQ(CodeOf(config), absl::StatusCode::kNotFound);
  config.completions = GuestAddress(UINT64_MAX - 63);
  EXPECT_EQ(CodeOf(config), absl::StatusCode::kOutOfRange);
}

TEST_F(DmaRingTest, D35CompletionRingInReadOnlyMemoryIsRefused) {
  DmaRingConfig config = Config(4);
  config.completions = GuestAddress(kReadOnly);
  EXPECT_EQ(CodeOf(config), absl::StatusCode::kPermissionDenied);
  config = Config(4);
  config.descriptors = GuestAddress(kReadOnly);
  EXPECT_EQ(CodeOf(config), absl::StatusCode::kOk);
}

TEST_F(DmaRingTest, AnyMapThatFailsLeavesNothingMapped) {
  for (const uint64_t n : {1u, 2u}) {
    port_.FailMap(n);
    EXPECT_EQ(CodeOf(Config(4)), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(port_.stats().live, 0u);
  }
}

TEST_F(DmaRingTest, PopGivesDescriptorsInOrderAndPastTheEndOfTheRing) {
  DmaRing ring = MakeRing(2);
  for (uint32_t i = 0; i < 5; ++i) {
    Slot(i % 2) = {.id = i};
    Tail() = i + 1;

    const auto popped = ring.Pop();
    ASSERT_TRUE(popped.ok() && popped->has_value());
    EXPECT_EQ((*popped)->id, i);
    EXPECT_FALSE(ring.Pop()->has_value());
    ring.Push({.id = i, .result = 7});
    EXPECT_EQ(Head(), i + 1);
    EXPECT_EQ(Done(i % 2).id, i);
    EXPECT_EQ(Done(i % 2).result, 7u);
  }
}

TEST_F(DmaRingTest, RingAcrossTwoPiecesWorks) {
  port_.AddMemory(GuestAddress(kMemory + kMemorySize), kPageSize);
  DmaRingConfig config = Config(4);
  config.descriptors = GuestAddress(kMemory + kMemorySize - 128);
  absl::StatusOr<DmaRing> ring = DmaRing::Create(port_, config);
  ASSERT_TRUE(ring.ok()) << ring.status();
  port_.At<uint32_t>(config.descriptors) = 2;
  port_.At<DmaDescriptor>(GuestAddress(kMemory + kMemorySize - 64)) = {.id = 1};
  port_.At<DmaDescriptor>(GuestAddress(kMemory + kMemorySize)) = {.id = 2};

  EXPECT_EQ((*ring->Pop())->id, 1u);
  EXPECT_EQ((*ring->Pop())->id, 2u);
}

TEST_F(DmaRingTest, D12TailAheadByMoreThanTheSizeIsAnError) {
  DmaRing ring = MakeRing(4);
  Tail() = 5;
  EXPECT_EQ(ring.Pop().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DmaRingTest, D12SlotWhoseCompletionIsToComeCannotBeUsedAgain) {
  DmaRing ring = MakeRing(4);
  Tail() = 4;
  ASSERT_TRUE(ring.Pop().ok());
  Tail() = 5;
  EXPECT_EQ(ring.Pop().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DmaRingTest, D13TailThatGoesBackwardsIsAnError) {
  DmaRing ring = MakeRing(4);
  Tail() = 2;
  ASSERT_TRUE(ring.Pop().ok());
  ASSERT_TRUE(ring.Pop().ok());
  Tail() = 1;
  EXPECT_EQ(ring.Pop().status().code(), absl::StatusCode::kInvalidArgument) << "not completed";
  ring.Push({});
  ring.Push({});
  EXPECT_EQ(ring.Pop().status().code(), absl::StatusCode::kInvalidArgument) << "completed";
}

TEST_F(DmaRingTest, D21DescriptorThatChangesAfterItWasPoppedDoesNotChangeTheCopy) {
  DmaRing ring = MakeRing(4);
  Slot(0) = {.length = 16};
  Tail() = 1;
  const auto popped = ring.Pop();
  Slot(0).length = UINT32_MAX;

  EXPECT_EQ((*popped)->length, 16u);
}

class DmaWorkerTest : public DmaRingTest, public DmaEvents {
 protected:
  void Ended(const DmaDescriptor&, const DmaOutcome&) override {}
  void Completed(const DmaDescriptor& descriptor, const DmaOutcome& outcome) override {
    completed_.emplace_back(descriptor.id, outcome.status);
  }
  DmaWorker MakeWorker() {
    return DmaWorker(port_, Config(4), MakeRing(4), *this, doorbell_, stop_);
  }
  void Fill(uint32_t slot, uint64_t id, uint64_t destination, uint32_t length = 16) {
    Slot(slot) = {.opcode = static_cast<uint16_t>(DmaOpcode::kFill),
                  .length = length,
                  .id = id,
                  .destination = destination,
                  .operand = ~uint64_t{0}};
  }

  const EventFd doorbell_ = *EventFd::Create();
  const EventFd stop_ = *EventFd::Create();
  std::vector<std::pair<uint64_t, DmaStatus>> completed_;
};

TEST_F(DmaWorkerTest, ServesAllThatIsAvailable) {
  DmaWorker worker = MakeWorker();
  Fill(0, 10, kMemory + 0x8000);
  Fill(1, 11, 0);
  Fill(2, 12, kMemory + 0x9000);
  Tail() = 3;

  EXPECT_TRUE(worker.ServeAvailable().ok());

  EXPECT_THAT(completed_, testing::ElementsAre(std::pair(10u, DmaStatus::kOk),
                                               std::pair(11u, DmaStatus::kBadDestination),
                                               std::pair(12u, DmaStatus::kOk)));
  EXPECT_EQ(Head(), 3u);
  EXPECT_EQ(Done(1).status, DmaStatus::kBadDestination);
  EXPECT_EQ(Done(1).id, 11u);
  EXPECT_EQ(port_.At<uint64_t>(GuestAddress(kMemory + 0x9008)), ~uint64_t{0});
}

TEST_F(DmaWorkerTest, ErrorOfTheRingEndsServeAndUnmapsTheRings) {
  DmaWorker worker = MakeWorker();
  Tail() = 5;

  EXPECT_EQ(worker.Serve().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(port_.stats().live, 0u);
}

TEST_F(DmaWorkerTest, AbortBeforeServeServesNothing) {
  DmaWorker worker = MakeWorker();
  Fill(0, 10, kMemory + 0x8000);
  Tail() = 1;
  worker.Abort();

  EXPECT_TRUE(worker.Serve().ok());

  EXPECT_THAT(completed_, testing::IsEmpty());
  EXPECT_EQ(Head(), 0u);
  EXPECT_EQ(port_.stats().live, 0u);
}

TEST_F(DmaWorkerTest, RevokeOfARingEndsServeWithAnError) {
  for (const GuestAddress ring : {kDescriptors, kCompletions}) {
    stop_.Drain();
    DmaWorker worker = MakeWorker();
    worker.Revoke(*GuestRange::Create(ring, kPageSize));

    EXPECT_EQ(worker.Serve().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(port_.stats().live, 0u);
  }
}

TEST_F(DmaWorkerTest, RevokeOfOtherMemoryChangesNothing) {
  DmaWorker worker = MakeWorker();
  worker.Revoke(*GuestRange::Create(GuestAddress(kMemory + kPageSize), kPageSize));
  worker.Revoke(*GuestRange::Create(GuestAddress(kMemory - kPageSize), kPageSize));
  Fill(0, 10, kMemory + 0x8000);
  Tail() = 1;

  EXPECT_TRUE(worker.ServeAvailable().ok());
  EXPECT_EQ(Head(), 1u);
  EXPECT_FALSE(IsReadable(stop_.fd()));
}

// The fill covers both rings: what the engine then does goes by its own counters, and the tail that
// it reads next is what the fill made of it.
TEST_F(DmaWorkerTest, D19DataThatOverlapsTheRingsHurtsOnlyTheGuest) {
  DmaWorker worker = MakeWorker();
  Fill(0, 10, kMemory, kMemorySize);
  Tail() = 1;

  EXPECT_EQ(worker.ServeAvailable().code(), absl::StatusCode::kInvalidArgument);

  EXPECT_THAT(completed_, testing::ElementsAre(std::pair(10u, DmaStatus::kOk)));
  EXPECT_EQ(Head(), 1u);
}

}  // namespace
}  // namespace vmwire
