// What the DMA engine does for one descriptor that is good.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "devices/dma_engine/crc32c.h"
#include "tests/devices/dma_engine_operation_fixture.h"

namespace vmwire {
namespace {

using testing::Each;

class DmaOperationTest : public DmaOperationFixture {};

TEST_F(DmaOperationTest, NoneOfNothingCompletes) {
  EXPECT_EQ(Execute({}).status, DmaStatus::kOk);
  EXPECT_EQ(port_.stats().mapped, 0u);
}

TEST_F(DmaOperationTest, CopyMovesAllBytesAndNoOthers) {
  Randomize(kMemory, 3 * kDmaChunk);
  const uint32_t length = 2 * kDmaChunk + 77;
  const auto source = Saved(kMemory + 5, length);

  EXPECT_EQ(Execute(Copy(kMemory + 5, kSecond + 9, length)).status, DmaStatus::kOk);

  EXPECT_EQ(Saved(kSecond + 9, length), source);
  EXPECT_THAT(Saved(kSecond, 9), Each(std::byte{0}));
  EXPECT_THAT(Saved(kSecond + 9 + length, 64), Each(std::byte{0}));
  EXPECT_EQ(port_.written_bytes(), length);
}

TEST_F(DmaOperationTest, OverlappingCopyMovesAsIfThereWereABuffer) {
  for (const int64_t shift : {-4097, -1, 1, 4097}) {
    Randomize(kMemory, 4 * kDmaChunk);
    const uint64_t from = kMemory + kPageSize * 4;
    const uint64_t to = from + static_cast<uint64_t>(shift);
    const auto source = Saved(from, 3 * kDmaChunk);

    EXPECT_EQ(Execute(Copy(from, to, 3 * kDmaChunk)).status, DmaStatus::kOk);

    EXPECT_EQ(Saved(to, 3 * kDmaChunk), source) << "shifted by " << shift;
  }
}

TEST_F(DmaOperationTest, OverlappingCopyAcrossPiecesMovesAsIfThereWereABuffer) {
  for (const int64_t shift : {-4097, 4097}) {
    Randomize(kSecond - 3 * kDmaChunk, 3 * kDmaChunk);
    Randomize(kSecond, 3 * kDmaChunk);
    const uint64_t from = kSecond - kDmaChunk;
    const uint64_t to = from + static_cast<uint64_t>(shift);
    std::vector<std::byte> source(2 * kDmaChunk);
    ASSERT_TRUE(port_.Read(GuestAddress(from), source).ok());

    EXPECT_EQ(Execute(Copy(from, to, 2 * kDmaChunk)).status, DmaStatus::kOk);

    std::vector<std::byte> copied(2 * kDmaChunk);
    ASSERT_TRUE(port_.Read(GuestAddress(to), copied).ok());
    EXPECT_EQ(copied, source) << "shifted by " << shift;
  }
}

TEST_F(DmaOperationTest, FillRepeatsItsPatternFromTheFirstByteOn) {
  const uint64_t pattern = 0x1122334455667788;
  const uint32_t length = kDmaChunk + 21;

  EXPECT_EQ(Execute(Fill(kMemory + 3, length, pattern)).status, DmaStatus::kOk);

  const auto bytes = Bytes(kMemory + 3, length);
  for (size_t i = 0; i < length; ++i) {
    ASSERT_EQ(bytes[i], static_cast<std::byte>(pattern >> i % 8 * 8)) << i;
  }
  EXPECT_EQ(Bytes(kMemory + 2, 1)[0], std::byte{0});
  EXPECT_EQ(Bytes(kMemory + 3 + length, 1)[0], std::byte{0});
}

TEST_F(DmaOperationTest, FillOfAListGoesOnInThePattern) {
  PutList(kLists, {{kMemory, 3}, {kMemory + 0x100, 0}, {kMemory + 0x200, 13}});
  DmaDescriptor descriptor = Fill(kLists, 16, 0x0807060504030201);
  descriptor.flags = kDmaDestinationList;
  descriptor.destination_segments = 3;

  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kOk);

  EXPECT_EQ(Bytes(kMemory, 4)[2], std::byte{3});
  EXPECT_EQ(Bytes(kMemory, 4)[3], std::byte{0});
  for (size_t i = 0; i < 13; ++i) {
    EXPECT_EQ(Bytes(kMemory + 0x200, 13)[i], static_cast<std::byte>((i + 3) % 8 + 1)) << i;
  }
}

TEST_F(DmaOperationTest, CompareOfEqualMemoryIsOk) {
  Randomize(kMemory, kDmaChunk * 2);
  Execute(Copy(kMemory, kSecond, kDmaChunk * 2));

  const DmaOutcome outcome = Execute(With(DmaOpcode::kCompare, kMemory, kSecond, kDmaChunk * 2));

  EXPECT_EQ(outcome.status, DmaStatus::kOk);
  EXPECT_EQ(outcome.result, 0u);
}

TEST_F(DmaOperationTest, CompareGivesTheOffsetOfTheFirstDifference) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{4099}, kDmaChunk, 2 * kDmaChunk - 1}) {
    Execute(Copy(kMemory, kSecond, kDmaChunk * 2));
    Bytes(kSecond + offset, 1)[0] ^= std::byte{1};

    const DmaOutcome outcome = Execute(With(DmaOpcode::kCompare, kMemory, kSecond, kDmaChunk * 2));

    EXPECT_EQ(outcome.status, DmaStatus::kMismatch);
    EXPECT_EQ(outcome.result, offset);
  }
}

TEST_F(DmaOperationTest, CompareReadsReadOnlyMemory) {
  EXPECT_EQ(Execute(With(DmaOpcode::kCompare, kReadOnly, kReadOnly, 16)).status, DmaStatus::kOk);
}

TEST_F(DmaOperationTest, ChecksumIsTheCrcOfTheSource) {
  Randomize(kMemory, 2 * kDmaChunk);

  const DmaOutcome outcome = Execute(With(DmaOpcode::kChecksum, kMemory + 1, 0, kDmaChunk + 100));

  EXPECT_EQ(outcome.status, DmaStatus::kOk);
  EXPECT_EQ(outcome.result, PortableCrc32c(0, Bytes(kMemory + 1, kDmaChunk + 100)));
}

TEST_F(DmaOperationTest, ChecksumGoesOnFromItsOperand) {
  Randomize(kMemory, 300);
  const uint64_t first = Execute(With(DmaOpcode::kChecksum, kMemory, 0, 100)).result;
  DmaDescriptor rest = With(DmaOpcode::kChecksum, kMemory + 100, 0, 200);
  rest.operand = first;

  EXPECT_EQ(Execute(rest).result, PortableCrc32c(0, Bytes(kMemory, 300)));
}

TEST_F(DmaOperationTest, ListsOnBothSidesArePairedByteByByte) {
  Randomize(kMemory, 0x1000);
  PutList(kLists, {{kMemory, 10}, {kMemory + 100, 7}, {kMemory + 200, 83}});
  PutList(kLists + 0x1000, {{kSecond, 1}, {kSecond + 1000, 99}});
  DmaDescriptor descriptor = Copy(kLists, kLists + 0x1000, 100);
  descriptor.flags = kDmaSourceList | kDmaDestinationList;
  descriptor.source_segments = 3;
  descriptor.destination_segments = 2;

  EXPECT_EQ(Execute(descriptor).status, DmaStatus::kOk);

  std::vector<std::byte> expected = Saved(kMemory, 10);
  const auto second = Saved(kMemory + 100, 7);
  const auto third = Saved(kMemory + 200, 83);
  expected.insert(expected.end(), second.begin(), second.end());
  expected.insert(expected.end(), third.begin(), third.end());
  std::vector<std::byte> got = Saved(kSecond, 1);
  const auto rest = Saved(kSecond + 1000, 99);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace vmwire
