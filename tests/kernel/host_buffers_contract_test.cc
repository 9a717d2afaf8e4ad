// The contract of HostMemory's registered buffers, held against the fake host and the real one.
#include <gtest/gtest.h>
#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "memory/host_memory.h"
#include "tests/kernel/host_contract.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr uint64_t kSize = kContractSize;

// `count` bytes that differ from their neighbours.
std::vector<std::byte> Bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

class HostBuffersContractTest : public HostBufferContractTest {
 protected:
  uint64_t PinnedBytes() {
    const auto pins = memory().Pins();
    EXPECT_THAT(pins, IsOk());
    return pins.value_or(ProcessPins{}).pinned_bytes;
  }
  // The same once it is `wanted`: some kernels unpin buffers a moment after they are cleared.
  uint64_t SettledBytes(uint64_t wanted) {
    return Eventually([this] { return PinnedBytes(); },
                      [wanted](uint64_t bytes) { return bytes == wanted; });
  }
};

INSTANTIATE_TEST_SUITE_P(Hosts, HostBuffersContractTest,
                         testing::Values(HostKind::kFake, HostKind::kLinux), HostKindName);

TEST_P(HostBuffersContractTest, BuffersAreSetAndClearedAndSetAgain) {
  const HostRange range = Map();
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(memory().SetBuffer(table_, 3, range), IsOk()) << i;
    memory().ClearBuffer(table_, 3);
  }
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, TablesMayHoldOverlappingBuffers) {
  const HostRange range = Map();

  EXPECT_THAT(memory().SetBuffer(table_, 0, range), IsOk());
  EXPECT_THAT(memory().SetBuffer(table_, 1, *range.Slice(kPageSize, kPageSize)), IsOk());

  memory().ClearBuffer(table_, 0);
  memory().ClearBuffer(table_, 1);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, SlotBeyondTheTableIsInvalidArgument) {
  const HostRange range = Map();

  EXPECT_THAT(memory().SetBuffer(table_, 4, range), StatusIs(StatusCode::kInvalidArgument));
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, BufferOfWhatIsNotMappedIsFailedPrecondition) {
  const HostRange range = Map();
  memory().Unmap(range);

  EXPECT_THAT(memory().SetBuffer(table_, 0, range), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_P(HostBuffersContractTest, BufferMayBeAsLargeAsAGibibyteAndNoLarger) {
  const HostRange range = Map(kMaxBufferBytes + kPageSize);

  EXPECT_THAT(memory().SetBuffer(table_, 0, range), StatusIs(StatusCode::kFailedPrecondition));
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, DestroyedTableLetsGoOfItsBuffers) {
  const HostRange range = Map();
  ASSERT_THAT(memory().SetBuffer(table_, 0, range), IsOk());

  memory().DestroyBufferTable(table_);
  table_ = nullptr;

  memory().Unmap(range);
}

// The limit leaves room beside the buffers: newer kernels charge the ring's own pages to it too.
TEST_P(HostBuffersContractTest, BufferLimitCountsEveryBufferAlsoOfTheSamePages) {
  ASSERT_THAT(host_.SetMemlockLimit(kSize + kSize / 2), IsOk());
  const HostRange range = Map(2 * kSize);
  ASSERT_THAT(memory().Advise(range, HostAdvice::kNoHugePages), IsOk());
  const HostRange half = *range.Slice(0, kSize);

  EXPECT_THAT(memory().SetBuffer(table_, 0, range), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(Eventually([&] { return memory().SetBuffer(table_, 0, half); },
                         [](const absl::Status& status) { return status.ok(); }),
              IsOk());
  EXPECT_THAT(memory().SetBuffer(table_, 1, half), StatusIs(StatusCode::kResourceExhausted));

  memory().ClearBuffer(table_, 0);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, BufferFaultsItsPagesIn) {
  const HostRange range = Map();

  ASSERT_THAT(memory().SetBuffer(table_, 0, range), IsOk());

  EXPECT_GE(UsageOf(range).resident_bytes, kSize);
  memory().ClearBuffer(table_, 0);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, BufferBeyondTheEndOfItsFileIsFailedPrecondition) {
  const int file = MakeFile();
  const HostRange range = Map(2 * kSize, 0, file);

  EXPECT_THAT(memory().SetBuffer(table_, 0, range), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory().SetBuffer(table_, 0, *range.Slice(0, kSize)), IsOk());

  memory().Unmap(range);
  memory().CloseFile(file);
}

TEST_P(HostBuffersContractTest, PinsAreCountedByTheirBytes) {
  const HostRange range = Map();
  const uint64_t before = SettledBytes(0);

  ASSERT_THAT(memory().SetBuffer(table_, 0, *range.Slice(0, 3 * kPageSize)), IsOk());
  EXPECT_EQ(PinnedBytes(), before + 3 * kPageSize);
  memory().ClearBuffer(table_, 0);

  EXPECT_EQ(SettledBytes(before), before);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, SeveralBuffersAreSetInOneCall) {
  const HostRange range = Map();
  const uint64_t before = SettledBytes(0);
  const std::vector<HostRange> pages = {PageOf(range, 0), PageOf(range, 4), PageOf(range, 9)};

  ASSERT_THAT(memory().SetBuffers(table_, 1, pages, nullptr), IsOk());

  EXPECT_EQ(PinnedBytes(), before + 3 * kPageSize);
  for (uint32_t slot = 1; slot <= 3; ++slot) memory().ClearBuffer(table_, slot);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, D15ShortCountIsAFailureAtThatBufferAndSetsNone) {
  const HostRange range = Map();
  const HostRange gone = Map();
  memory().Unmap(gone);
  const std::vector<HostRange> pages = {PageOf(range, 0), PageOf(range, 1), PageOf(gone, 0),
                                        PageOf(range, 2)};
  const uint64_t before = SettledBytes(0);
  size_t failed = 99;

  EXPECT_THAT(memory().SetBuffers(table_, 0, pages, &failed),
              StatusIs(StatusCode::kFailedPrecondition));

  EXPECT_EQ(failed, 2u);
  EXPECT_EQ(SettledBytes(before), before);
  for (uint32_t slot = 0; slot < 4; ++slot)
    EXPECT_THAT(memory().SetBuffer(table_, slot, range), IsOk()) << slot;
  memory().DestroyBufferTable(table_);
  table_ = nullptr;
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, SeveralBuffersThatLeaveTheTableAreInvalidArgument) {
  const HostRange range = Map();
  const std::vector<HostRange> pages(2, PageOf(range, 0));

  EXPECT_THAT(memory().SetBuffers(table_, 4, pages, nullptr),
              StatusIs(StatusCode::kInvalidArgument));
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, TransferWritesAndReadsPinnedMemory) {
  const HostRange range = Map();
  ASSERT_THAT(memory().SetBuffer(table_, 2, range), IsOk());
  const std::vector<std::byte> sent = Bytes(3 * kPageSize + 5);
  const HostAddress place(range.start().value() + kPageSize - 3);

  ASSERT_THAT(memory().TransferIn(table_, 2, place, sent), IsOk());
  EXPECT_EQ(std::vector<std::byte>(HostPointer(place), HostPointer(place) + sent.size()), sent);
  EXPECT_EQ(*HostPointer(HostAddress(place.value() - 1)), std::byte{0});
  *HostPointer(place) = std::byte{99};
  std::vector<std::byte> received(sent.size());
  ASSERT_THAT(memory().TransferOut(table_, 2, place, absl::MakeSpan(received)), IsOk());

  EXPECT_EQ(received[0], std::byte{99});
  EXPECT_TRUE(std::equal(received.begin() + 1, received.end(), sent.begin() + 1));
  memory().ClearBuffer(table_, 2);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, TransferOutsideOfItsBufferIsFailedPrecondition) {
  const HostRange range = Map();
  const HostRange part = *range.Slice(kPageSize, kPageSize);
  ASSERT_THAT(memory().SetBuffer(table_, 0, part), IsOk());
  const std::vector<std::byte> sent = Bytes(16);
  std::vector<std::byte> received(16);

  EXPECT_THAT(memory().TransferIn(table_, 0, HostAddress(part.end().value() - 15), sent),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory().TransferIn(table_, 0, HostAddress(part.start().value() - 1), sent),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory().TransferOut(table_, 0, range.start(), absl::MakeSpan(received)),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory().TransferIn(table_, 1, part.start(), sent),
              StatusIs(StatusCode::kFailedPrecondition));
  memory().ClearBuffer(table_, 0);
  memory().Unmap(range);
}

// A pin is no lock: the address gets another frame, and the device still has the old one.
TEST_P(HostBuffersContractTest, TransferToADiscardedPageIsLost) {
  const HostRange range = MapResident();
  ASSERT_THAT(memory().SetBuffer(table_, 0, range), IsOk());
  ASSERT_THAT(memory().Discard(PageOf(range, 1), std::nullopt), IsOk());
  // The CPU's next touch finds a new page.
  ASSERT_THAT(memory().Advise(range, HostAdvice::kPopulateWrite), IsOk());
  const std::vector<std::byte> sent = Bytes(3 * kPageSize);

  ASSERT_THAT(memory().TransferIn(table_, 0, range.start(), sent), IsOk());

  const std::byte* bytes = HostPointer(range.start());
  EXPECT_EQ(bytes[1], sent[1]);
  EXPECT_EQ(bytes[kPageSize + 1], std::byte{0});
  EXPECT_EQ(bytes[2 * kPageSize + 1], sent[2 * kPageSize + 1]);
  memory().ClearBuffer(table_, 0);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, ClonedTableKeepsThePinAndIsNotChargedAgain) {
  const HostRange range = Map();
  const uint64_t before = SettledBytes(0) + kSize;
  ASSERT_THAT(memory().SetBuffer(table_, 3, range), IsOk());
  const auto clone = memory().CloneBufferTable(table_);
  if (absl::IsUnimplemented(clone.status())) {
    EXPECT_THAT(clone, StatusIs(StatusCode::kUnimplemented, testing::HasSubstr("Linux 6.12")));
    memory().Unmap(range);
    GTEST_SKIP() << clone.status();
  }
  ASSERT_THAT(clone, IsOk());
  EXPECT_EQ(PinnedBytes(), before);
  memory().ClearBuffer(table_, 3);
  const std::vector<std::byte> sent = Bytes(100);

  EXPECT_THAT(memory().TransferIn(*clone, 3, range.start(), sent), IsOk());
  EXPECT_EQ(HostPointer(range.start())[99], sent[99]);
  EXPECT_EQ(PinnedBytes(), before);
  EXPECT_THAT(memory().SetBuffer(*clone, 0, range), IsOk());

  memory().DestroyBufferTable(*clone);
  memory().Unmap(range);
}

// An io_uring of a device, which the fake host knows by its descriptor only.
class DeviceRing {
 public:
  DeviceRing() { EXPECT_EQ(io_uring_queue_init(4, &ring_, 0), 0); }
  DeviceRing(const DeviceRing&) = delete;
  DeviceRing& operator=(const DeviceRing&) = delete;
  ~DeviceRing() { io_uring_queue_exit(&ring_); }
  int fd() const { return ring_.ring_fd; }

 private:
  io_uring ring_ = {};
};

TEST_P(HostBuffersContractTest, RingOfADeviceKeepsThePinAndIsNotChargedAgain) {
  const HostRange range = Map();
  const DeviceRing ring;
  const uint64_t before = SettledBytes(0) + kSize;
  ASSERT_THAT(memory().SetBuffer(table_, 3, range), IsOk());
  const absl::Status cloned = memory().CloneIntoRing(table_, ring.fd());
  if (absl::IsUnimplemented(cloned)) {
    EXPECT_THAT(cloned, StatusIs(StatusCode::kUnimplemented, testing::HasSubstr("Linux 6.12")));
    memory().ClearBuffer(table_, 3);
    memory().Unmap(range);
    GTEST_SKIP() << cloned;
  }
  ASSERT_THAT(cloned, IsOk());
  EXPECT_THAT(memory().CloneIntoRing(table_, ring.fd()), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_EQ(PinnedBytes(), before);

  memory().ClearBuffer(table_, 3);
  EXPECT_EQ(PinnedBytes(), before);
  memory().ClearRing(ring.fd());

  EXPECT_EQ(SettledBytes(0), 0u);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, SharedBufferKeepsThePinAndIsNotChargedAgain) {
  const HostRange range = Map();
  const uint64_t before = SettledBytes(0) + kSize;
  ASSERT_THAT(memory().SetBuffer(table_, 3, range), IsOk());
  const auto device = memory().CreateBufferTable(4);
  ASSERT_THAT(device, IsOk());
  const absl::Status shared = memory().ShareBuffer(table_, 3, *device, 1);
  if (absl::IsUnimplemented(shared)) {
    EXPECT_THAT(shared, StatusIs(StatusCode::kUnimplemented, testing::HasSubstr("Linux 6.13")));
    memory().DestroyBufferTable(*device);
    memory().Unmap(range);
    GTEST_SKIP() << shared;
  }
  ASSERT_THAT(shared, IsOk());
  EXPECT_EQ(PinnedBytes(), before);
  memory().ClearBuffer(table_, 3);
  const std::vector<std::byte> sent = Bytes(100);

  EXPECT_THAT(memory().TransferIn(*device, 1, range.start(), sent), IsOk());
  EXPECT_EQ(HostPointer(range.start())[99], sent[99]);
  EXPECT_EQ(PinnedBytes(), before);
  EXPECT_THAT(memory().TransferIn(*device, 0, range.start(), sent),
              StatusIs(StatusCode::kFailedPrecondition));

  memory().DestroyBufferTable(*device);
  memory().Unmap(range);
}

TEST_P(HostBuffersContractTest, SharingABufferLeavesTheOtherSlotsOfTheTarget) {
  const HostRange first = Map();
  const HostRange second = Map();
  ASSERT_THAT(memory().SetBuffer(table_, 0, first), IsOk());
  const auto device = memory().CreateBufferTable(4);
  ASSERT_THAT(device, IsOk());
  ASSERT_THAT(memory().SetBuffer(*device, 2, second), IsOk());

  const absl::Status shared = memory().ShareBuffer(table_, 0, *device, 1);

  const std::vector<std::byte> sent = Bytes(100);
  EXPECT_THAT(memory().TransferIn(*device, 2, second.start(), sent), IsOk());
  EXPECT_EQ(HostPointer(second.start())[99], sent[99]);
  if (shared.ok()) {
    EXPECT_THAT(memory().TransferIn(*device, 1, first.start(), sent), IsOk());
    EXPECT_THAT(memory().SetBuffer(*device, 3, second), IsOk());
  }
  memory().ClearBuffer(table_, 0);
  memory().DestroyBufferTable(*device);
  memory().Unmap(first);
  memory().Unmap(second);
}

}  // namespace
}  // namespace vmwire
