// What a driver may get wrong, by the rows of the list of bad inputs; and memory that cannot be
// mapped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/devices/block_fixture.h"

namespace vmwire {
namespace {

using testing::Each;

class BlockBadInputTest : public BlockTest {
 protected:
  // The rings, which stay mapped.
  static constexpr uint64_t kLiveOfRings = 3;

  void ExpectNothingMapped() { EXPECT_EQ(port_.stats().live, kLiveOfRings); }
};

TEST_F(BlockBadInputTest, D17ARequestWithoutAWritableByteIsGivenBackEmptyAndNeedsAReset) {
  MakeDevice();
  port_.At<BlockHeader>(kHeaders) = {.type = kBlockFlush, .reserved = 0, .sector = 0};
  const uint16_t head = queue().Add({{kHeaders, 16}}, {});

  EXPECT_THAT(session().ServeOnce(), StatusIs(absl::StatusCode::kInvalidArgument));

  EXPECT_EQ(queue().TakeUsed(), (DriverQueue::Used{head, 0}));
  ExpectNothingMapped();
}

TEST_F(BlockBadInputTest, ARequestWithoutAWholeHeaderNeedsAReset) {
  MakeDevice();
  queue().Add({{kHeaders, 15}}, {{kStatuses, 1}});

  EXPECT_THAT(session().ServeOnce(), StatusIs(absl::StatusCode::kInvalidArgument));

  ExpectNothingMapped();
}

TEST_F(BlockBadInputTest, D18AStatusInReadOnlyMemoryNeedsAResetAndNothingIsWritten) {
  MakeDevice();
  Fill(kData, Pattern(512, 1));
  port_.At<BlockHeader>(kHeaders) = {.type = kBlockOut, .reserved = 0, .sector = 0};
  queue().Add({{kHeaders, 16}, {kData, 512}}, {{GuestAddress(kReadOnlyPage), 1}});

  EXPECT_THAT(session().ServeOnce(), StatusIs(absl::StatusCode::kPermissionDenied));

  EXPECT_THAT(FileBytes(path_, 0, 512), Each(std::byte{0}));
  ExpectNothingMapped();
}

TEST_F(BlockBadInputTest, D19DataOverTheRingsLeavesTheMonitorWhole) {
  MakeDevice();
  SetFileBytes(path_, 0, Pattern(DeviceSession::kQueueStride, 2));
  const auto rings = static_cast<uint32_t>(DeviceSession::kQueueStride);
  Send(kBlockIn, 0, {}, {{GuestAddress(DeviceSession::kQueues), rings}});

  session().ServeOnce().IgnoreError();

  ExpectNothingMapped();
}

TEST_F(BlockBadInputTest, D20TwoRequestsWithTheSameMemoryAreBothServed) {
  MakeDevice();
  const Request first = Send(kBlockIn, 0, {}, {{kData, 4096}});
  const Request second = Send(kBlockIn, 8, {}, {{kData, 4096}});

  ASSERT_THAT(session().ServeOnce(), IsOk());

  EXPECT_EQ(Result(first), (Outcome{BlockStatus::kOk, 4097}));
  EXPECT_EQ(Result(second), (Outcome{BlockStatus::kOk, 4097}));
}

// Data that is not in memory: of a read, all rows; of a write, without the last.
class BlockBadBuffer : public BlockBadInputTest, public testing::WithParamInterface<BadBuffer> {};

std::vector<BadBuffer> BadData() {
  return {
      {"D1AtTheEndOfMemory", {GuestAddress(kMemoryEnd), 512}, absl::StatusCode::kNotFound},
      {"D2AcrossTheEndOfMemory",
       {GuestAddress(kMemoryEnd - 512), 1024},
       absl::StatusCode::kNotFound},
      {"D3AroundTheEndOfAddresses",
       {GuestAddress(UINT64_MAX - 511), 1024},
       absl::StatusCode::kOutOfRange},
      {"D5AcrossAHole",
       {GuestAddress(kMemoryEnd - 512), static_cast<uint32_t>(kReadOnlyPage - kMemoryEnd) + 1024},
       absl::StatusCode::kNotFound},
      {"D34WhereADeviceIs", {GuestAddress(0xd0000000), 512}, absl::StatusCode::kNotFound},
      {"D35InReadOnlyMemory",
       {GuestAddress(kReadOnlyPage), 512},
       absl::StatusCode::kPermissionDenied}};
}

INSTANTIATE_TEST_SUITE_P(All, BlockBadBuffer, testing::ValuesIn(BadData()), NameOf);

TEST_P(BlockBadBuffer, AReadThereNeedsAResetBeforeAnyByteIsWritten) {
  MakeDevice();
  SetFileBytes(path_, 0, Pattern(4096, 3));
  Send(kBlockIn, 0, {}, {{kData, 512}, GetParam().buffer});

  EXPECT_THAT(session().ServeOnce(), StatusIs(GetParam().code));

  EXPECT_THAT(Copy(kData, 512), Each(std::byte{0}));
  EXPECT_THAT(Copy(GuestAddress(kMemoryEnd - 512), 512), Each(std::byte{0}));
  ExpectNothingMapped();
}

TEST_P(BlockBadBuffer, AWriteFromThereNeedsAResetBeforeAnyByteIsWritten) {
  MakeDevice();
  Fill(kData, Pattern(512, 4));
  Send(kBlockOut, 0, {{kData, 512}, GetParam().buffer}, {});

  const absl::Status status = session().ServeOnce();

  if (GetParam().code == absl::StatusCode::kPermissionDenied) {
    EXPECT_THAT(status, IsOk());  // It may be read.
    return;
  }
  EXPECT_THAT(status, StatusIs(GetParam().code));
  EXPECT_THAT(FileBytes(path_, 0, 4096), Each(std::byte{0}));
  ExpectNothingMapped();
}

TEST_F(BlockBadInputTest, D2AHeaderAcrossTheEndOfMemoryNeedsAReset) {
  MakeDevice();
  queue().Add({{GuestAddress(kMemoryEnd - 8), 16}}, {{kStatuses, 1}});

  EXPECT_THAT(session().ServeOnce(), StatusIs(absl::StatusCode::kNotFound));

  ExpectNothingMapped();
}

TEST_F(BlockBadInputTest, WhatWasTakenBeforeABadRequestIsStillServed) {
  MakeDevice();
  Fill(kData, Pattern(512, 5));
  const Request good = Send(kBlockOut, 0, {{kData, 512}}, {});
  Send(kBlockOut, 1, {{GuestAddress(kMemoryEnd), 512}}, {});
  const Request after = Send(kBlockOut, 2, {{kData, 512}}, {});

  EXPECT_THAT(session().ServeOnce(), StatusIs(absl::StatusCode::kNotFound));

  EXPECT_EQ(Result(good), (Outcome{BlockStatus::kOk, 1}));
  EXPECT_EQ(Result(after), kNotUsed);
  EXPECT_THAT(FileBytes(path_, 1024, 512), Each(std::byte{0}));
}

TEST_F(BlockBadInputTest, D36SectorsPastTheEndAreIoErrors) {
  MakeDevice();
  const uint64_t sectors[] = {kSectors - 1,      kSectors,
                              UINT64_MAX,        UINT64_MAX / 512,
                              UINT64_MAX - 1,    UINT64_MAX / 512 + 1,
                              uint64_t{1} << 63, (uint64_t{1} << 55) - 1};
  for (const uint64_t sector : sectors) {
    EXPECT_EQ(Do(kBlockIn, sector, {}, {{kData, 1024}}), (Outcome{BlockStatus::kIoError, 1}));
    EXPECT_EQ(Do(kBlockOut, sector, {{kData, 1024}}, {}), (Outcome{BlockStatus::kIoError, 1}));
  }
  EXPECT_EQ(CounterOf(*device_, "errors"), 2 * std::size(sectors));
  EXPECT_EQ(CounterOf(*device_, "operations"), 0u);
}

TEST_F(BlockBadInputTest, D37DataThatIsNoMultipleOf512IsAnIoError) {
  MakeDevice();
  for (const uint32_t bytes : {1u, 511u, 513u, 4095u}) {
    EXPECT_EQ(Do(kBlockIn, 0, {}, {{kData, bytes}}), (Outcome{BlockStatus::kIoError, 1}));
    EXPECT_EQ(Do(kBlockOut, 0, {{kData, bytes}}, {}), (Outcome{BlockStatus::kIoError, 1}));
  }
  EXPECT_THAT(Copy(kData, 4096), Each(std::byte{0}));
}

TEST_F(BlockBadInputTest, D38UnknownTypesAreUnsupported) {
  MakeDevice();
  for (const uint32_t type : {2u, 3u, 5u, 7u, 9u, 14u, 0x80000000u, 0xffffffffu}) {
    EXPECT_EQ(Do(type, 0, {{kData, 512}}, {{kData, 512}}), (Outcome{BlockStatus::kUnsupported, 1}));
  }
  EXPECT_EQ(CounterOf(*device_, "unsupported"), 8u);
}

TEST_F(BlockBadInputTest, AReadOnlyDiskIsNotWritten) {
  path_ = directory_.File("disk.img", kSectors * kSectorSize);
  ASSERT_EQ(chmod(path_.c_str(), 0444), 0);
  MakeDevice({.read_only = true});

  EXPECT_NE(device_->Features() & kBlockFeatureReadOnly, 0u);
  EXPECT_EQ(Do(kBlockOut, 0, {{kData, 512}}, {}), (Outcome{BlockStatus::kIoError, 1}));
  EXPECT_EQ(DoRanges(kBlockDiscard, {{0, 8, 0}}), (Outcome{BlockStatus::kUnsupported, 1}));
  EXPECT_EQ(DoRanges(kBlockWriteZeroes, {{0, 8, 0}}), (Outcome{BlockStatus::kUnsupported, 1}));
  EXPECT_EQ(Do(kBlockIn, 0, {}, {{kData, 512}}), (Outcome{BlockStatus::kOk, 513}));
  EXPECT_EQ(Do(kBlockFlush, 0, {}, {}), (Outcome{BlockStatus::kOk, 1}));
}

TEST_F(BlockBadInputTest, RangesThatAreWrongAreRefusedAsAWhole) {
  MakeDevice();
  const auto data = Pattern(65536, 6);
  SetFileBytes(path_, 0, data);
  const Outcome io_error = {BlockStatus::kIoError, 1};
  const Outcome unsupported = {BlockStatus::kUnsupported, 1};

  EXPECT_EQ(DoRanges(kBlockDiscard, {{0, 8, 0}, {kSectors - 1, 2, 0}}), io_error);
  EXPECT_EQ(DoRanges(kBlockWriteZeroes, {{0, 8, 0}, {UINT64_MAX, 1, 0}}), io_error);
  EXPECT_EQ(DoRanges(kBlockWriteZeroes, {{0, 8, 0}, {0, UINT32_MAX, 0}}), io_error);
  EXPECT_EQ(DoRanges(kBlockDiscard, {}), io_error);
  EXPECT_EQ(DoRanges(kBlockDiscard, std::vector<BlockRange>(17)), io_error);
  EXPECT_EQ(DoRanges(kBlockDiscard, {{0, 8, kBlockRangeUnmap}}), unsupported);
  EXPECT_EQ(DoRanges(kBlockWriteZeroes, {{0, 8, 2}}), unsupported);
  EXPECT_EQ(Do(kBlockWriteZeroes, 0, {{kData, 17}}, {}), io_error);

  EXPECT_EQ(FileBytes(path_, 0, 65536), data);
}

TEST_F(BlockBadInputTest, WhatWasNotNegotiatedIsUnsupported) {
  MakeDevice({}, {}, kBlockFeatureDiscard | kBlockFeatureWriteZeroes);

  EXPECT_EQ(DoRanges(kBlockDiscard, {{0, 8, 0}}), (Outcome{BlockStatus::kUnsupported, 1}));
  EXPECT_EQ(DoRanges(kBlockWriteZeroes, {{0, 8, 0}}), (Outcome{BlockStatus::kUnsupported, 1}));
}

TEST_F(BlockBadInputTest, WhicheverMapFailsForTheHostsSakeNothingStaysMapped) {
  MakeDevice();
  const Buffers buffers = {{kData, 512}, {kDataMiddle, 512}};
  // The status, whose failure nobody can be told of; the header; two buffers.
  for (uint64_t n = 1; n <= 4; ++n) {
    const Request request = Send(kBlockIn, 0, {}, buffers);
    port_.FailMap(n);

    const absl::Status status = session().ServeOnce();

    if (n == 1) {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
    } else {
      EXPECT_THAT(status, IsOk());
      EXPECT_EQ(Result(request), (Outcome{BlockStatus::kIoError, 1}));
    }
    Take();
    ExpectNothingMapped();
  }
  port_.FailMap(0);
  EXPECT_EQ(Do(kBlockIn, 0, {}, buffers), (Outcome{BlockStatus::kOk, 1025}));
}

}  // namespace
}  // namespace vmwire
