// What the DMA engine does for one descriptor that is bad, or unusual. Rows of the checklist of bad
// inputs have their number in the name (D1..).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "tests/devices/dma_engine_operation_fixture.h"

namespace vmwire {
namespace {

using testing::Each;

class DmaErrorsTest : public DmaOperationFixture {};

TEST_F(DmaErrorsTest, UnknownOpcodeIsAnError) {
  for (const uint16_t opcode : {uint16_t{5}, uint16_t{0xffff}}) {
    DmaDescriptor descriptor = Copy(kMemory, kSecond, 16);
    descriptor.opcode = opcode;
    EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBadOpcode);
  }
}

TEST_F(DmaErrorsTest, D15UnknownFlagOrReservedFieldIsAnError) {
  DmaDescriptor flags = Copy(kMemory, kSecond, 16);
  flags.flags = 0x8;
  DmaDescriptor first = Copy(kMemory, kSecond, 16);
  first.reserved[0] = 1;
  DmaDescriptor second = Copy(kMemory, kSecond, 16);
  second.reserved[1] = uint64_t{1} << 63;

  EXPECT_EQ(Execute(flags).status, DmaStatus::kBadFlags);
  EXPECT_EQ(Execute(first).status, DmaStatus::kBadFlags);
  EXPECT_EQ(Execute(second).status, DmaStatus::kBadFlags);
  EXPECT_EQ(port_.stats().mapped, 0u);
}

TEST_F(DmaErrorsTest, D1AddressOutsideMemoryIsAnErrorOfItsSide) {
  EXPECT_EQ(Execute(Copy(kHole, kMemory, 16)).status, DmaStatus::kBadSource);
  EXPECT_EQ(Execute(Copy(kMemory, kHole, 16)).status, DmaStatus::kBadDestination);
  EXPECT_EQ(Execute(Fill(kHole, 16, 0)).status, DmaStatus::kBadDestination);
  EXPECT_EQ(Execute(With(DmaOpcode::kChecksum, kHole, 0, 16)).status, DmaStatus::kBadSource);
  EXPECT_EQ(Execute(With(DmaOpcode::kCompare, kMemory, kHole, 16)).status,
            DmaStatus::kBadDestination);
}

TEST_F(DmaErrorsTest, D2BufferAcrossTheEndOfMemoryIsAnErrorAndNothingIsWritten) {
  EXPECT_EQ(Execute(Fill(kHole - 16, 17, ~uint64_t{0})).status, DmaStatus::kBadDestination);

  EXPECT_THAT(Saved(kHole - 16, 16), Each(std::byte{0}));
  EXPECT_EQ(port_.written_bytes(), 0u);
}

TEST_F(DmaErrorsTest, D2BadSecondSegmentLeavesTheFirstUnwritten) {
  PutList(kLists, {{kMemory, 16}, {kHole, 16}});
  DmaDescriptor descriptor = Fill(kLists, 32, ~uint64_t{0});
  descriptor.flags = kDmaDestinationList;
  descriptor.destination_segments = 2;

  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBadDestination);

  EXPECT_THAT(Saved(kMemory, 16), Each(std::byte{0}));
}

TEST_F(DmaErrorsTest, D3BufferThatWrapsIsAnError) {
  EXPECT_EQ(Execute(Copy(UINT64_MAX - 7, kMemory, 16)).status, DmaStatus::kBadSource);
  EXPECT_EQ(Execute(Copy(kMemory, UINT64_MAX, 1)).status, DmaStatus::kBadDestination);
}

TEST_F(DmaErrorsTest, D4BufferAcrossTwoRegionsThatTouchWorks) {
  Randomize(kMemory, 64);

  EXPECT_EQ(Execute(Copy(kMemory, kSecond - 32, 64)).status, DmaStatus::kOk);

  EXPECT_EQ(Saved(kSecond - 32, 32), Saved(kMemory, 32));
  EXPECT_EQ(Saved(kSecond, 32), Saved(kMemory + 32, 32));
}

TEST_F(DmaErrorsTest, D5BufferAcrossAHoleIsAnError) {
  port_.AddMemory(GuestAddress(kHole + kPageSize), kPageSize);

  EXPECT_EQ(Execute(Copy(kHole - 16, kMemory, kPageSize + 32)).status, DmaStatus::kBadSource);
}

TEST_F(DmaErrorsTest, D6LengthZeroIsAcceptedAndMapsNothing) {
  for (const DmaOpcode opcode :
       {DmaOpcode::kCopy, DmaOpcode::kFill, DmaOpcode::kCompare, DmaOpcode::kChecksum}) {
    EXPECT_EQ(Execute(With(opcode, kHole, kHole, 0)).status, DmaStatus::kOk);
  }
  EXPECT_EQ(port_.stats().mapped, 0u);
}

TEST_F(DmaErrorsTest, D7LengthBeyondTheBoundIsAnErrorBeforeAnythingIsMapped) {
  EXPECT_EQ(Execute(Copy(kMemory, kSecond, UINT32_MAX)).status, DmaStatus::kBadLength);
  EXPECT_EQ(Execute(Copy(kMemory, kSecond, kMaxDmaLength + 1)).status, DmaStatus::kBadLength);
  EXPECT_EQ(port_.stats().mapped + port_.stats().refused, 0u);
}

TEST_F(DmaErrorsTest, D8ListThatDoesNotAddUpIsAnErrorBeforeASegmentIsMapped) {
  PutList(kLists, {{kMemory, UINT32_MAX}, {kMemory, UINT32_MAX}, {kMemory, 66}});
  DmaDescriptor descriptor = Copy(kLists, kSecond, 64);
  descriptor.flags = kDmaSourceList;
  descriptor.source_segments = 3;

  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBadLength);
  EXPECT_EQ(port_.stats().mapped, 1u) << "the list itself, and no more";
}

TEST_F(DmaErrorsTest, ListOfTooManySegmentsIsAnErrorBeforeItIsRead) {
  DmaDescriptor descriptor = Copy(kLists, kSecond, 64);
  descriptor.flags = kDmaSourceList;
  for (const uint32_t segments : {kMaxDmaSegments + 1, UINT32_MAX}) {
    descriptor.source_segments = segments;
    EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBadLength);
  }
  EXPECT_EQ(port_.stats().mapped, 0u);
}

TEST_F(DmaErrorsTest, ListOfTheMostSegmentsWorks) {
  Randomize(kMemory, kMaxDmaSegments * 32);
  std::vector<DmaSegment> list;
  for (uint32_t i = 0; i < kMaxDmaSegments; ++i) list.push_back({kMemory + i * 32, 16});
  PutList(kLists, list);
  DmaDescriptor descriptor = Copy(kLists, kSecond, kMaxDmaSegments * 16);
  descriptor.flags = kDmaSourceList;
  descriptor.source_segments = kMaxDmaSegments;

  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kOk);

  for (uint32_t i = 0; i < kMaxDmaSegments; ++i) {
    ASSERT_EQ(Saved(kSecond + i * 16, 16), Saved(kMemory + i * 32, 16)) << i;
  }
}

TEST_F(DmaErrorsTest, ListWithAReservedFieldOrOutsideMemoryIsAnError) {
  PutList(kLists, {{kMemory, 16, 1}});
  DmaDescriptor descriptor = Copy(kLists, kSecond, 16);
  descriptor.flags = kDmaSourceList;
  descriptor.source_segments = 1;
  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBadLength);

  descriptor.source = kHole - 8;
  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBadSource);
}

TEST_F(DmaErrorsTest, D20DestinationsThatOverlapEachOtherAreTheGuestsOwnAffair) {
  Randomize(kMemory, 64);
  PutList(kLists, {{kSecond, 32}, {kSecond + 16, 32}});
  DmaDescriptor descriptor = Copy(kMemory, kLists, 64);
  descriptor.flags = kDmaDestinationList;
  descriptor.destination_segments = 2;

  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kOk);

  EXPECT_EQ(Saved(kSecond, 16), Saved(kMemory, 16));
  EXPECT_EQ(Saved(kSecond + 16, 32), Saved(kMemory + 32, 32));
}

TEST_F(DmaErrorsTest, D35WriteToReadOnlyMemoryIsRefusedBeforeAnyByte) {
  PutList(kLists, {{kMemory, 16}, {kReadOnly, 16}});
  DmaDescriptor descriptor = Fill(kLists, 32, ~uint64_t{0});
  descriptor.flags = kDmaDestinationList;
  descriptor.destination_segments = 2;

  EXPECT_EQ(Execute(Fill(kReadOnly, 16, ~uint64_t{0})).status, DmaStatus::kBadDestination);
  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBadDestination);

  EXPECT_THAT(Saved(kReadOnly, 16), Each(std::byte{0}));
  EXPECT_THAT(Saved(kMemory, 16), Each(std::byte{0}));
}

TEST_F(DmaErrorsTest, MemoryThatCannotBeWiredNowIsBusy) {
  port_.FailMap(1, absl::ResourceExhaustedError("injected"));
  EXPECT_EQ(Execute(Copy(kMemory, kSecond, 16)).status, DmaStatus::kBusy);
  port_.FailMap(2, absl::UnavailableError("injected"));
  EXPECT_EQ(Execute(Copy(kMemory, kSecond, 16)).status, DmaStatus::kBusy);
}

TEST_F(DmaErrorsTest, MemoryThatThePolicyKeepsFromDevicesIsABadAddress) {
  port_.FailMap(1, absl::FailedPreconditionError("injected"));
  EXPECT_EQ(Execute(Copy(kMemory, kSecond, 16)).status, DmaStatus::kBadSource);
}

TEST_F(DmaErrorsTest, AnyMapThatFailsLeavesNothingMappedAndNothingWritten) {
  PutList(kLists, {{kMemory, 8}, {kMemory + 64, 8}});
  PutList(kLists + 0x100, {{kSecond, 8}, {kSecond + 64, 8}});
  Randomize(kMemory, 128);
  DmaDescriptor descriptor = Copy(kLists, kLists + 0x100, 16);
  descriptor.flags = kDmaSourceList | kDmaDestinationList;
  descriptor.source_segments = descriptor.destination_segments = 2;

  constexpr uint64_t kMaps = 6;  // Two lists, two segments each.
  for (uint64_t n = 1; n <= kMaps; ++n) {
    port_.FailMap(n);
    EXPECT_EQ(Execute(descriptor).status, DmaStatus::kBusy) << n;
    EXPECT_EQ(port_.stats().live, 0u) << n;
    EXPECT_THAT(Saved(kSecond, 128), Each(std::byte{0})) << n;
  }
  port_.FailMap(kMaps + 1);
  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kOk);
}

TEST_F(DmaErrorsTest, AbortEndsAnyOperationWithoutAnOutcome) {
  const std::atomic<bool> abort = true;

  for (const DmaOpcode opcode :
       {DmaOpcode::kCopy, DmaOpcode::kFill, DmaOpcode::kCompare, DmaOpcode::kChecksum}) {
    EXPECT_FALSE(
        ExecuteDma(port_, With(opcode, kMemory, kMemory + 1, kDmaChunk), abort).has_value());
  }
  EXPECT_FALSE(ExecuteDma(port_, Copy(kMemory, kSecond, kDmaChunk), abort).has_value());
}

TEST_F(DmaErrorsTest, RandomDescriptorsEndWithAStatusAndNothingMapped) {
  const std::vector<uint64_t> addresses = {0,         kMemory, kSecond - 8, kHole - 8, kHole,
                                           kReadOnly, kLists,  UINT64_MAX,  kLists + 3};
  PutList(kLists, {{kMemory, 8}, {kSecond, 8}, {kHole, 0}});
  for (int i = 0; i < 20'000; ++i) {
    DmaDescriptor descriptor = {
        .opcode = static_cast<uint16_t>(random_() % 6),
        .flags = static_cast<uint16_t>(random_() % 9),
        .length = static_cast<uint32_t>(random_() % 4 == 0 ? random_() : random_() % 33),
        .source = addresses[random_() % addresses.size()],
        .destination = addresses[random_() % addresses.size()],
        .operand = random_(),
        .source_segments = static_cast<uint32_t>(random_() % 5),
        .destination_segments = static_cast<uint32_t>(random_() % 5)};
    Execute(descriptor);
    ASSERT_EQ(port_.stats().live, 0u);
    PutList(kLists, {{kMemory, 8}, {kSecond, 8}, {kHole, 0}});
  }
}

}  // namespace
}  // namespace vmwire
