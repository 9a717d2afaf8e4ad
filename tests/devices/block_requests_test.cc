// What each kind of request does, on all the ways a disk may be opened and memory be reached.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <string>
#include <tuple>

#include "tests/devices/block_fixture.h"

namespace vmwire {
namespace {

using testing::Each;
using testing::ElementsAreArray;

// Of a disk: direct, on tmpfs, with registered buffers.
class BlockWays : public BlockTest,
                  public testing::WithParamInterface<std::tuple<bool, bool, bool>> {
 protected:
  void Make(uint64_t without_features = 0) {
    const auto [direct, in_memory, registered] = GetParam();
    if (in_memory) path_ = shm_.File("disk.img", kSectors * kSectorSize);
    MakeDevice({.direct = direct}, {.registered_buffers = registered}, without_features);
  }
  bool registered() const { return std::get<2>(GetParam()); }

 private:
  TemporaryDirectory shm_{"/dev/shm"};
};

std::string NameOfWay(const testing::TestParamInfo<BlockWays::ParamType>& info) {
  const auto [direct, in_memory, registered] = info.param;
  return std::string(direct ? "Direct" : "Buffered") + (in_memory ? "InMemory" : "OnDisk") +
         (registered ? "Registered" : "ByAddress");
}

INSTANTIATE_TEST_SUITE_P(All, BlockWays,
                         testing::Combine(testing::Bool(), testing::Bool(), testing::Bool()),
                         NameOfWay);

TEST_P(BlockWays, AWriteReachesTheFileAndNothingBesideIt) {
  Make();
  const auto data = Pattern(8192, 1);
  Fill(kData, data);

  EXPECT_EQ(Do(kBlockOut, 16, {{kData, 8192}}, {}), (Outcome{BlockStatus::kOk, 1}));

  EXPECT_EQ(FileBytes(path_, 16 * 512, 8192), data);
  EXPECT_THAT(FileBytes(path_, 0, 16 * 512), Each(std::byte{0}));
  EXPECT_THAT(FileBytes(path_, 32 * 512, 4096), Each(std::byte{0}));
  EXPECT_EQ(CounterOf(*device_, "bytes_written"), 8192u);
  EXPECT_EQ(CounterOf(*device_, "fixed_transfers"), registered() ? 1u : 0u);
  EXPECT_EQ(CounterOf(*device_, "plain_transfers"), registered() ? 0u : 1u);
}

TEST_P(BlockWays, AReadBringsWhatTheFileHolds) {
  Make();
  const auto data = Pattern(16384, 2);
  SetFileBytes(path_, 4096, data);

  EXPECT_EQ(Do(kBlockIn, 8, {}, {{kData, 16384}}), (Outcome{BlockStatus::kOk, 16385}));

  EXPECT_EQ(Copy(kData, 16384), data);
  EXPECT_EQ(CounterOf(*device_, "bytes_read"), 16384u);
}

TEST_P(BlockWays, TheLastSectorIsReadAndWritten) {
  Make();
  const auto data = Pattern(512, 3);
  Fill(kData, data);

  EXPECT_EQ(Do(kBlockOut, kSectors - 1, {{kData, 512}}, {}), (Outcome{BlockStatus::kOk, 1}));
  EXPECT_EQ(Do(kBlockIn, kSectors - 1, {}, {{kDataMiddle, 512}}), (Outcome{BlockStatus::kOk, 513}));

  EXPECT_EQ(Copy(kDataMiddle, 512), data);
}

TEST_P(BlockWays, MemoryThatIsNotAlignedIsServed) {
  Make();
  const auto data = Pattern(1024, 4);
  const GuestAddress odd(kData.value() + 3);
  Fill(odd, data);

  EXPECT_EQ(Do(kBlockOut, 5, {{odd, 1024}}, {}), (Outcome{BlockStatus::kOk, 1}));
  EXPECT_EQ(Do(kBlockIn, 5, {}, {{GuestAddress(kDataMiddle.value() + 1), 1024}}),
            (Outcome{BlockStatus::kOk, 1025}));

  EXPECT_EQ(Copy(GuestAddress(kDataMiddle.value() + 1), 1024), data);
}

TEST_P(BlockWays, ManySmallBuffersAreOneOperation) {
  Make();
  Buffers buffers;
  const auto data = Pattern(16 * 4096, 5);
  for (uint64_t i = 0; i < 16; ++i) {
    const GuestAddress place(kData.value() + i * 2 * 4096);
    Fill(place, std::span(data).subspan(i * 4096, 4096));
    buffers.push_back({place, 4096});
  }

  EXPECT_EQ(Do(kBlockOut, 0, buffers, {}), (Outcome{BlockStatus::kOk, 1}));

  EXPECT_EQ(FileBytes(path_, 0, data.size()), data);
  EXPECT_EQ(CounterOf(*device_, "vectored_transfers"), 1u);
}

TEST_P(BlockWays, D4ABufferAcrossTwoRegionsIsServedAsTwoPieces) {
  Make();
  const auto data = Pattern(256 << 10, 6);
  SetFileBytes(path_, 0, data);
  const GuestAddress across(kDataMiddle.value() - (128 << 10));

  EXPECT_EQ(Do(kBlockIn, 0, {}, {{across, 256 << 10}}),
            (Outcome{BlockStatus::kOk, (256 << 10) + 1}));

  auto read = Copy(across, 128 << 10);
  const auto rest = Copy(kDataMiddle, 128 << 10);
  read.insert(read.end(), rest.begin(), rest.end());
  EXPECT_EQ(read, data);
  EXPECT_EQ(CounterOf(*device_, "fixed_transfers"), registered() ? 2u : 0u);
}

TEST_P(BlockWays, WriteZeroesZeroesExactlyTheRanges) {
  Make();
  const auto data = Pattern(4 << 20, 7);
  SetFileBytes(path_, 0, data);

  EXPECT_EQ(DoRanges(kBlockWriteZeroes, {{.sector = 3, .sectors = 5000, .flags = 0},
                                         {.sector = 6000, .sectors = 1, .flags = kBlockRangeUnmap},
                                         {.sector = 7000, .sectors = 0, .flags = 0}}),
            (Outcome{BlockStatus::kOk, 1}));

  auto expected = data;
  std::fill_n(expected.begin() + 3 * 512, 5000 * 512, std::byte{0});
  std::fill_n(expected.begin() + 6000 * 512, 512, std::byte{0});
  EXPECT_EQ(FileBytes(path_, 0, 4 << 20), expected);
}

TEST_P(BlockWays, DiscardGivesTheBlocksOfTheFileBack) {
  Make();
  const auto data = Pattern(4 << 20, 8);
  SetFileBytes(path_, 0, data);
  struct stat before = {};
  stat(path_.c_str(), &before);

  EXPECT_EQ(DoRanges(kBlockDiscard, {{.sector = 2048, .sectors = 4096, .flags = 0}}),
            (Outcome{BlockStatus::kOk, 1}));

  struct stat after = {};
  stat(path_.c_str(), &after);
  EXPECT_EQ(after.st_size, before.st_size);
  EXPECT_LE(after.st_blocks, 4096 + 64);
  EXPECT_EQ(FileBytes(path_, 0, 1 << 20), std::vector(data.begin(), data.begin() + (1 << 20)));
}

TEST_P(BlockWays, AFlushIsAnswered) {
  Make();

  EXPECT_EQ(Do(kBlockFlush, 0, {}, {}), (Outcome{BlockStatus::kOk, 1}));

  EXPECT_EQ(CounterOf(*device_, "flushes"), 1u);
}

TEST_P(BlockWays, WithoutTheFlushFeatureEachWriteIsSynced) {
  Make(kBlockFeatureFlush);
  Fill(kData, Pattern(512, 9));

  EXPECT_EQ(Do(kBlockOut, 0, {{kData, 512}}, {}), (Outcome{BlockStatus::kOk, 1}));

  EXPECT_EQ(FileBytes(path_, 0, 512), Pattern(512, 9));
  EXPECT_EQ(CounterOf(*device_, "operations"), 2u);
}

class BlockRequestsTest : public BlockTest {};

TEST_F(BlockRequestsTest, TheSerialNumberIsGivenAndFilledWithZeroes) {
  MakeDevice({}, {.serial = "disk-7"});
  std::fill_n(Memory(kData, 32).begin(), 32, std::byte{0xee});

  EXPECT_EQ(Do(kBlockGetId, 0, {}, {{kData, 20}}), (Outcome{BlockStatus::kOk, 21}));

  EXPECT_STREQ(reinterpret_cast<const char*>(Memory(kData, 20).data()), "disk-7");
  EXPECT_THAT(Copy(GuestAddress(kData.value() + 6), 14), Each(std::byte{0}));
  EXPECT_THAT(Copy(GuestAddress(kData.value() + 20), 12), Each(std::byte{0xee}));
}

TEST_F(BlockRequestsTest, ASerialNumberForASmallBufferIsCut) {
  MakeDevice({}, {.serial = "01234567890123456789"});

  EXPECT_EQ(Do(kBlockGetId, 0, {}, {{kData, 3}, {kDataMiddle, 5}}), (Outcome{BlockStatus::kOk, 9}));

  EXPECT_EQ(std::memcmp(Memory(kData, 3).data(), "012", 3), 0);
  EXPECT_EQ(std::memcmp(Memory(kDataMiddle, 5).data(), "34567", 5), 0);
}

TEST_F(BlockRequestsTest, BuffersMayBeCutAnywhere) {
  MakeDevice();
  const auto data = Pattern(1024, 10);
  port_.At<BlockHeader>(kHeaders) = {.type = kBlockOut, .reserved = 0, .sector = 2};
  std::copy_n(data.begin(), 1024, Memory(GuestAddress(kHeaders.value() + 16), 1024).begin());
  queue().Add({{kHeaders, 5},
               {GuestAddress(kHeaders.value() + 5), 100},
               {GuestAddress(kHeaders.value() + 105), 16 + 1024 - 105}},
              {{kStatuses, 0}, {kStatuses, 1}});

  ASSERT_THAT(session().ServeOnce(), IsOk());

  EXPECT_EQ(FileBytes(path_, 1024, 1024), data);
  EXPECT_EQ(queue().TakeUsed()->written, 1u);
}

TEST_F(BlockRequestsTest, TheStatusIsTheLastByteOfTheWritableBuffers) {
  MakeDevice();
  SetFileBytes(path_, 0, Pattern(512, 11));
  port_.At<BlockHeader>(kHeaders) = {.type = kBlockIn, .reserved = 0, .sector = 0};
  std::fill_n(Memory(kData, 513).begin(), 513, std::byte{0xee});
  queue().Add({{kHeaders, 16}}, {{kData, 513}});

  ASSERT_THAT(session().ServeOnce(), IsOk());

  EXPECT_EQ(Copy(kData, 512), Pattern(512, 11));
  EXPECT_EQ(Memory(GuestAddress(kData.value() + 512), 1)[0], std::byte{0});
  EXPECT_EQ(queue().TakeUsed()->written, 513u);
}

TEST_F(BlockRequestsTest, ARequestOfNoSectorsIsOk) {
  MakeDevice();

  EXPECT_EQ(Do(kBlockIn, kSectors, {}, {}), (Outcome{BlockStatus::kOk, 1}));
  EXPECT_EQ(Do(kBlockOut, 0, {}, {}), (Outcome{BlockStatus::kOk, 1}));
}

TEST_F(BlockRequestsTest, ManyRequestsOfOnePassAreSubmittedTogetherAndInterruptOnce) {
  MakeDevice();
  std::vector<Request> requests;
  for (uint32_t i = 0; i < 16; ++i) {
    requests.push_back(Send(kBlockIn, i, {}, {{GuestAddress(kData.value() + i * 4096), 512}}));
  }

  ASSERT_THAT(session().ServeOnce(), IsOk());

  for (const Request request : requests) {
    EXPECT_EQ(Result(request), (Outcome{BlockStatus::kOk, 513}));
  }
  EXPECT_EQ(CounterOf(*device_, "operations"), 16u);
  EXPECT_EQ(CounterOf(*device_, "submits"), 1u);
  EXPECT_EQ(CounterOf(*device_, "merged_submits"), 15u);
  EXPECT_LE(session().interrupts(), 16u);
}

TEST_F(BlockRequestsTest, AllQueuesAreServed) {
  MakeDevice({}, {.queues = 4});
  last_queue_ = 3;
  std::vector<Request> requests;
  for (uint32_t i = 0; i < 40; ++i) {
    requests.push_back(
        Send(kBlockOut, i, {{GuestAddress(kData.value() + i * 512), 512}}, {}, i % 4));
  }

  ASSERT_THAT(session().ServeOnce(), IsOk());

  for (const Request request : requests) {
    EXPECT_EQ(Result(request), (Outcome{BlockStatus::kOk, 1}));
  }
}

TEST_F(BlockRequestsTest, ADeviceServesAgainAfterAReset) {
  MakeDevice();
  EXPECT_EQ(Do(kBlockFlush, 0, {}, {}), (Outcome{BlockStatus::kOk, 1}));
  EXPECT_EQ(Do(kBlockFlush, 0, {}, {}), (Outcome{BlockStatus::kOk, 1}));
}

TEST_F(BlockRequestsTest, MemoryThatCannotBeSharedIsServedByAddress) {
  port_.ForbidRings();
  MakeDevice();
  Fill(kData, Pattern(512, 12));

  EXPECT_EQ(Do(kBlockOut, 0, {{kData, 512}}, {}), (Outcome{BlockStatus::kOk, 1}));

  EXPECT_EQ(FileBytes(path_, 0, 512), Pattern(512, 12));
  EXPECT_EQ(CounterOf(*device_, "fixed_transfers"), 0u);
}

TEST_F(BlockRequestsTest, TheConfigurationTellsWhatTheDiskIs) {
  MakeDevice({}, {.queues = 2});
  BlockConfig config;

  device_->ReadConfig(0, std::as_writable_bytes(std::span<BlockConfig, 1>(&config, 1)));

  EXPECT_EQ(uint64_t{config.capacity}, kSectors);
  EXPECT_EQ(uint32_t{config.seg_max}, kQueueSize - 2u);
  EXPECT_EQ(uint32_t{config.block_size}, 512u);
  EXPECT_EQ(uint16_t{config.queues}, 2u);
  EXPECT_EQ(config.physical_block_exponent, 3);
  EXPECT_EQ(device_->QueueSizes(), std::vector<uint16_t>(2, kQueueSize));
  EXPECT_NE(device_->Features() & kBlockFeatureMultiQueue, 0u);
  EXPECT_EQ(device_->Features() & kBlockFeatureReadOnly, 0u);
  std::byte past[8] = {std::byte{1}};
  device_->ReadConfig(UINT64_MAX - 3, past);
  EXPECT_THAT(past, Each(std::byte{0}));
}

TEST_F(BlockRequestsTest, OptionsOutOfRangeAreRefused) {
  path_ = directory_.File("disk.img", 4096);
  for (const VirtioBlockOptions& options :
       {VirtioBlockOptions{.queues = 0}, VirtioBlockOptions{.queues = 9},
        VirtioBlockOptions{.queue_size = 3}, VirtioBlockOptions{.queue_size = 512},
        VirtioBlockOptions{.serial = std::string(21, 'x')}}) {
    EXPECT_THAT(VirtioBlock::Create(*DiskFile::Open(path_, {}), port_, options),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace vmwire
