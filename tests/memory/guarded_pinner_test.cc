#include "memory/guarded_pinner.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "tests/fakes/fake_host_memory.h"
#include "tests/fakes/journal.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GuardedPinnerTest : public testing::Test {
 protected:
  GuardedPinnerTest() { journal_.Clear(); }
  void TearDown() override { host_.Unmap(range_); }

  HostRange PageAt(uint64_t page) const { return *range_.Slice(page * kPageSize, kPageSize); }
  bool NothingIsPinned() const { return host_.locked_bytes() == 0 && host_.buffer_bytes() == 0; }

  Journal journal_;
  FakeHostMemory host_{journal_};
  const HostRange range_ = *host_.Map({.size = 8 * kPageSize});
  GuardedPinner pinner_{host_, {}};
};

TEST_F(GuardedPinnerTest, LevelIsGuarded) {
  EXPECT_EQ(pinner_.level(), PinLevel::kGuarded);
  EXPECT_EQ(ToString(pinner_.level()), "guarded");
}

TEST_F(GuardedPinnerTest, PinLocksThenRegistersWhatFaultsIn) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));

  EXPECT_THAT(journal_.entries(),
              ElementsAre("create buffer table", "lock 0x8000", "set buffer 0 0x8000"));
  EXPECT_TRUE(host_.IsLocked(range_));
  EXPECT_TRUE(host_.IsInBuffers(range_));
  pinner_.Unpin(extent);
}

TEST_F(GuardedPinnerTest, UnpinUndoesBothInReverse) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));
  journal_.Clear();

  pinner_.Unpin(extent);

  EXPECT_THAT(journal_.entries(), ElementsAre("clear buffer 0", "unlock 0x8000"));
  EXPECT_TRUE(NothingIsPinned());
}

TEST_F(GuardedPinnerTest, FreeExtentsAreThoseOfWhatRunsOutFirst) {
  GuardedPinner few_locks(host_, {}, 2, {.slots = 5});
  GuardedPinner few_slots(host_, {}, 5, {.slots = 2});
  EXPECT_EQ(few_locks.FreeExtents(), 2u);
  EXPECT_EQ(few_slots.FreeExtents(), 2u);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, few_slots.Pin(range_, {}));

  EXPECT_EQ(few_slots.FreeExtents(), 1u);
  few_slots.Unpin(extent);
  EXPECT_EQ(few_slots.FreeExtents(), 2u);
}

TEST_F(GuardedPinnerTest, NoLockedExtentLeftIsRefusedBeforeTheFirstFaultAndGivesTheSlotBack) {
  GuardedPinner pinner(host_, {}, 1, {.slots = 5});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
  journal_.Clear();

  EXPECT_THAT(pinner.Pin(PageAt(2), {}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("vm.max_map_count")));

  EXPECT_THAT(journal_.entries(), IsEmpty());
  pinner.Unpin(first);
  EXPECT_EQ(pinner.FreeExtents(), 1u);
}

TEST_F(GuardedPinnerTest, NoSlotLeftIsRefusedBeforeTheFirstFault) {
  GuardedPinner pinner(host_, {}, 5, {.slots = 1});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
  journal_.Clear();

  EXPECT_THAT(pinner.Pin(PageAt(2), {}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("0 of 1 are free")));

  EXPECT_THAT(journal_.entries(), IsEmpty());
  pinner.Unpin(first);
}

TEST_F(GuardedPinnerTest, RefusedLockFaultsNothingInAndGivesTheSlotBack) {
  host_.SetMemlockLimit(7 * kPageSize);
  HostAddress failed_at;

  EXPECT_THAT(pinner_.Pin(range_, {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("ulimit -l")));

  EXPECT_EQ(failed_at, range_.start());
  EXPECT_EQ(host_.resident_bytes(), 0u);
  EXPECT_TRUE(NothingIsPinned());
  EXPECT_EQ(pinner_.FreeExtents(), kMaxBuffers);
}

TEST_F(GuardedPinnerTest, PageThatCannotBeFaultedInIsNamedAndNothingStays) {
  host_.BreakPage(PageAt(3).start());
  HostAddress failed_at;

  EXPECT_THAT(pinner_.Pin(range_, {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(failed_at, PageAt(3).start());
  EXPECT_TRUE(NothingIsPinned());
}

TEST_F(GuardedPinnerTest, StopUndoesBoth) {
  EXPECT_THAT(pinner_.Pin(range_, {[](uint64_t) { return false; }}),
              StatusIs(StatusCode::kCancelled));

  EXPECT_TRUE(NothingIsPinned());
  EXPECT_EQ(pinner_.FreeExtents(), kMaxBuffers);
}

TEST_F(GuardedPinnerTest, HostWithoutIoUringIsUnimplementedBeforeAnythingIsLocked) {
  journal_.FailNth(1, EPERM);

  EXPECT_THAT(pinner_.Pin(range_, {}),
              StatusIs(StatusCode::kUnimplemented, HasSubstr("level 'resident' does not")));

  EXPECT_THAT(journal_.entries(), ElementsAre("create buffer table FAILED"));
}

TEST_F(GuardedPinnerTest, D16TransientRefusalsAreTriedAgain) {
  for (uint64_t call = 1; call <= 2; ++call) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner_.Pin(PageAt(7), {}));
    journal_.FailNth(call, EAGAIN, 3);

    VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(PageAt(0), {}));

    EXPECT_TRUE(journal_.failed()) << call;
    pinner_.Unpin(extent);
    pinner_.Unpin(first);
  }
}

TEST_F(GuardedPinnerTest, BufferOfAnAddressIsWhatADeviceTransfersThrough) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));
  const std::optional<PinnedBuffer> buffer = pinner_.BufferAt(extent, PageAt(3).start());
  ASSERT_TRUE(buffer.has_value());
  const std::byte bytes[] = {std::byte{1}, std::byte{2}};

  ASSERT_THAT(host_.TransferIn(buffer->table, buffer->slot, PageAt(3).start(), bytes), IsOk());

  EXPECT_EQ(buffer->range, range_);
  EXPECT_EQ(HostPointer(PageAt(3).start())[1], std::byte{2});
  pinner_.Unpin(extent);
}

TEST_F(GuardedPinnerTest, DiscardOfWhatIsPinnedIsRefused) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner_.Pin(range_, {}));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const std::vector<uint64_t> before, host_.Frames(range_));

  EXPECT_THAT(host_.Discard(range_, std::nullopt), StatusIs(StatusCode::kInvalidArgument));

  EXPECT_EQ(*host_.Frames(range_), before);
  pinner_.Unpin(extent);
}

TEST_F(GuardedPinnerTest, ThreadsPinAndUnpinAtOnce) {
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) {
        const auto extent = pinner_.Pin(PageAt(i), {});
        ASSERT_THAT(extent, IsOk());
        pinner_.Unpin(*extent);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_TRUE(NothingIsPinned());
  EXPECT_EQ(pinner_.FreeExtents(), kMaxBuffers);
}

// Each host call of a Pin is made to fail in turn, with each error that it may give: whatever the
// call was, nothing stays locked, pinned or taken, and the next Pin succeeds.
class GuardedPinnerFailNthTest : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Errors, GuardedPinnerFailNthTest,
                         testing::Values(ENOMEM, EPERM, EFAULT, EINVAL, EHWPOISON));

void FailEachCallOfAPin(uint64_t size, int error) {
  for (uint64_t n = 1;; ++n) {
    Journal journal;
    FakeHostMemory host(journal);
    const HostRange range = *host.Map({.size = size});
    const uint64_t slots = 4;
    GuardedPinner pinner(host, {}, 9, {.slots = slots, .late_unpin = std::chrono::milliseconds(0)});
    HostAddress failed_at;
    journal.FailNth(n, error);

    const auto pinned = pinner.Pin(range, {.progress = nullptr, .failed_at = &failed_at});

    if (pinned.ok()) {
      ASSERT_FALSE(journal.failed()) << "call " << n << " failed, and nobody noticed";
      EXPECT_GT(n, 3u);
      pinner.Unpin(*pinned);
      host.Unmap(range);
      return;
    }
    EXPECT_EQ(host.locked_bytes(), 0u) << n;
    EXPECT_EQ(host.buffer_bytes(), 0u) << n;
    EXPECT_EQ(pinner.FreeExtents(), slots) << n;
    EXPECT_TRUE(range.Contains(failed_at)) << n;
    const auto again = pinner.Pin(range, {});
    ASSERT_THAT(again, IsOk()) << n;
    pinner.Unpin(*again);
    host.Unmap(range);
  }
}

TEST_P(GuardedPinnerFailNthTest, FailureOfAnyCallForASmallRangeUndoesAll) {
  FailEachCallOfAPin(4 * kPageSize, GetParam());
}

TEST_P(GuardedPinnerFailNthTest, FailureOfAnyCallForALargeRangeUndoesAll) {
  FailEachCallOfAPin(40 * kHugePageSize, GetParam());
}

TEST(GuardedPinnerPiecesTest, FailureOfALaterBufferUndoesTheEarlierOnes) {
  Journal journal;
  FakeHostMemory host(journal);
  const HostRange range = *host.Map({.size = kMaxBufferBytes + kPageSize});
  {
    GuardedPinner pinner(host, {});
    host.BreakPage(HostAddress(range.end().value() - kPageSize));
    HostAddress failed_at;

    EXPECT_THAT(pinner.Pin(range, {.progress = nullptr, .failed_at = &failed_at}),
                StatusIs(StatusCode::kResourceExhausted));

    EXPECT_EQ(failed_at.value(), range.end().value() - kPageSize);
    EXPECT_EQ(host.locked_bytes(), 0u);
    EXPECT_EQ(host.buffer_bytes(), 0u);
  }
  host.Unmap(range);
}

}  // namespace
}  // namespace vmwire
