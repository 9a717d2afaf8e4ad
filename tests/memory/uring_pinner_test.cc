#include "memory/uring_pinner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
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
using testing::SizeIs;

class UringPinnerTest : public testing::Test {
 protected:
  UringPinnerTest() { journal_.Clear(); }
  void TearDown() override { host_.Unmap(range_); }

  HostRange PageAt(uint64_t page) const { return *range_.Slice(page * kPageSize, kPageSize); }

  Journal journal_;
  FakeHostMemory host_{journal_};
  const HostRange range_ = *host_.Map({.size = 8 * kPageSize, .congruent_to = 0, .file = {}});
};

TEST_F(UringPinnerTest, LevelIsPinned) {
  EXPECT_EQ(UringPinner(host_, {}).level(), PinLevel::kPinned);
}

TEST_F(UringPinnerTest, PinnerThatPinsNothingMakesNoTable) {
  { const UringPinner pinner(host_, {}); }

  EXPECT_THAT(journal_.entries(), IsEmpty());
}

TEST_F(UringPinnerTest, RegistrationOfASmallRangeFaultsItIn) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  EXPECT_THAT(journal_.entries(), ElementsAre("create buffer table", "set buffer 0 0x8000"));
  EXPECT_EQ(host_.resident_bytes(), 8 * kPageSize);
  EXPECT_TRUE(host_.IsInBuffers(range_));
  pinner.Unpin(extent);
}

TEST_F(UringPinnerTest, UnpinEmptiesTheBuffers) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  pinner.Unpin(extent);

  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

TEST_F(UringPinnerTest, TableIsMadeOnce) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent second, pinner.Pin(PageAt(1), {}));

  EXPECT_THAT(journal_.EntriesWith("create buffer table"), SizeIs(1));
  pinner.Unpin(first);
  pinner.Unpin(second);
}

TEST_F(UringPinnerTest, ReleasedSlotsAreUsedAgain) {
  UringPinner pinner(host_, {}, {.slots = 2});
  for (int round = 0; round < 5; ++round) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent second, pinner.Pin(PageAt(1), {}));
    pinner.Unpin(first);
    pinner.Unpin(second);
  }

  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

TEST_F(UringPinnerTest, NoSlotLeftIsResourceExhausted) {
  UringPinner pinner(host_, {}, {.slots = 1});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));

  EXPECT_THAT(pinner.Pin(PageAt(1), {}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("0 of 1 are free")));

  EXPECT_EQ(host_.buffer_bytes(), kPageSize);
  pinner.Unpin(first);
}

TEST_F(UringPinnerTest, RefusalJustAfterAnUnpinIsTriedAgain) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
  pinner.Unpin(first);
  journal_.FailNth(1, ENOMEM);

  const absl::StatusOr<PinnedExtent> second = pinner.Pin(PageAt(0), {});

  EXPECT_TRUE(journal_.failed());
  ASSERT_THAT(second, IsOk());
  pinner.Unpin(*second);
}

TEST_F(UringPinnerTest, StopBetweenTwoBuffersUnpinsTheFirst) {
  UringPinner pinner(host_, {});
  const HostRange large =
      *host_.Map({.size = kMaxBufferBytes + kPageSize, .congruent_to = 0, .file = {}});

  EXPECT_THAT(pinner.Pin(large, {[this](uint64_t) { return host_.buffer_bytes() == 0; }}),
              StatusIs(StatusCode::kCancelled));

  EXPECT_THAT(journal_.EntriesWith("set buffer"), SizeIs(1));
  EXPECT_EQ(host_.buffer_bytes(), 0u);
  host_.Unmap(large);
}

TEST_F(UringPinnerTest, FailedBufferGivesItsSlotBack) {
  UringPinner pinner(host_, {}, {.slots = 1});
  journal_.FailNth(2, ENOMEM);
  ASSERT_THAT(pinner.Pin(PageAt(0), {}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("ulimit -l")));

  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(PageAt(0), {}));

  pinner.Unpin(extent);
}

TEST_F(UringPinnerTest, FailedTableIsTriedAgainOnTheNextPin) {
  UringPinner pinner(host_, {});
  journal_.FailNth(1, ENOMEM);
  ASSERT_THAT(pinner.Pin(range_, {}), StatusIs(StatusCode::kResourceExhausted));

  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  pinner.Unpin(extent);
}

TEST_F(UringPinnerTest, HostWithoutIoUringIsUnimplementedAndSaysWhatItNeeds) {
  for (const int error : {EPERM, ENOSYS}) {
    UringPinner pinner(host_, {});
    journal_.FailNth(1, error);
    EXPECT_THAT(pinner.Pin(range_, {}),
                StatusIs(StatusCode::kUnimplemented, HasSubstr("kernel.io_uring_disabled")));
  }
}

TEST_F(UringPinnerTest, StopPinsNothing) {
  UringPinner pinner(host_, {});

  EXPECT_THAT(pinner.Pin(range_, {[](uint64_t) { return false; }}),
              StatusIs(StatusCode::kCancelled));

  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

TEST_F(UringPinnerTest, PageThatCannotBeFaultedInIsNamed) {
  UringPinner pinner(host_, {});
  host_.BreakPage(PageAt(5).start());
  HostAddress failed_at;

  EXPECT_THAT(pinner.Pin(range_, {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(failed_at, PageAt(5).start());
  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

TEST_F(UringPinnerTest, PageThatCannotBePinnedIsNamed) {
  UringPinner pinner(host_, {});
  HostAddress failed_at;
  // Whatever is asked of the buffers is refused, as for memory that can be touched and not pinned.
  journal_.FailNth(2, EFAULT);

  EXPECT_THAT(pinner.Pin(PageAt(0), {.progress = nullptr, .failed_at = &failed_at}),
              StatusIs(StatusCode::kFailedPrecondition));

  EXPECT_EQ(failed_at, PageAt(0).start());
  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

TEST_F(UringPinnerTest, D16TransientRefusalIsTriedAgain) {
  UringPinner pinner(host_, {});
  journal_.FailNth(2, EAGAIN, 5);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  EXPECT_TRUE(journal_.failed());
  pinner.Unpin(extent);
}

TEST_F(UringPinnerTest, D16TransientRefusalWithoutEndIsGivenUpOn) {
  UringPinner pinner(host_, {});
  journal_.FailNth(2, EINTR, UINT64_MAX);

  EXPECT_THAT(pinner.Pin(range_, {}), StatusIs(StatusCode::kUnavailable));
}

TEST_F(UringPinnerTest, FreeExtentsCountTheSlotsLeft) {
  UringPinner pinner(host_, {}, {.slots = 3});
  EXPECT_EQ(pinner.FreeExtents(), 3u);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));
  EXPECT_EQ(pinner.FreeExtents(), 2u);

  pinner.Unpin(extent);

  EXPECT_EQ(pinner.FreeExtents(), 3u);
}

TEST_F(UringPinnerTest, StopWhileARefusalIsTriedAgainIsCancelled) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
  pinner.Unpin(first);
  host_.SetMemlockLimit(0);

  EXPECT_THAT(pinner.Pin(PageAt(0), {[](uint64_t) { return false; }}),
              StatusIs(StatusCode::kCancelled));
}

TEST_F(UringPinnerTest, ThreadsPinAndUnpinAtOnce) {
  UringPinner pinner(host_, {});
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) {
        const auto extent = pinner.Pin(PageAt(i), {});
        ASSERT_THAT(extent, IsOk());
        pinner.Unpin(*extent);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(host_.buffer_bytes(), 0u);
  EXPECT_EQ(pinner.FreeExtents(), kMaxBuffers);
  EXPECT_EQ(host_.tables(), 1u);
}

TEST_F(UringPinnerTest, DeathWithAPinLeftIsOurBug) {
  EXPECT_DEATH(
      {
        std::optional<UringPinner> pinner(std::in_place, host_, PopulateOptions{});
        auto extent = pinner->Pin(range_, {});
        pinner.reset();
      },
      "outlives its pinner");
}

// More than one buffer's worth.
class LargeUringPinnerTest : public testing::Test {
 protected:
  static constexpr uint64_t kSize = 2 * kMaxBufferBytes + kPageSize;

  void TearDown() override { host_.Unmap(range_); }

  Journal journal_;
  FakeHostMemory host_{journal_};
  const HostRange range_ = *host_.Map({.size = kSize, .congruent_to = 0, .file = {}});
};

TEST_F(LargeUringPinnerTest, RangeIsCutIntoBuffersOfTheLargestSize) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  EXPECT_THAT(
      journal_.EntriesWith("set buffer"),
      ElementsAre("set buffer 0 0x40000000", "set buffer 1 0x40000000", "set buffer 2 0x1000"));
  EXPECT_THAT(extent.buffers, ElementsAre(0, 1, 2));
  pinner.Unpin(extent);
}

TEST_F(LargeUringPinnerTest, LargeRangeIsPopulatedBeforeItIsRegistered) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  const std::vector<std::string> entries = journal_.entries();
  const auto first_buffer = std::find(entries.begin(), entries.end(), "set buffer 0 0x40000000");
  EXPECT_EQ(std::count_if(first_buffer, entries.end(),
                          [](const std::string& entry) { return entry.rfind("populate", 0) == 0; }),
            0);
  EXPECT_EQ(host_.resident_bytes(), kSize);
  pinner.Unpin(extent);
}

TEST_F(LargeUringPinnerTest, BufferOfAnAddressIsThatOfItsPiece) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  const std::optional<PinnedBuffer> last =
      pinner.BufferAt(extent, HostAddress(range_.end().value() - 1));

  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->slot, extent.buffers[2]);
  EXPECT_EQ(last->range, *range_.Slice(2 * kMaxBufferBytes, kPageSize));
  pinner.Unpin(extent);
}

TEST_F(LargeUringPinnerTest, TooFewSlotsAreRefusedBeforeTheFirstFault) {
  UringPinner pinner(host_, {}, {.slots = 2});

  EXPECT_THAT(pinner.Pin(range_, {}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("needs 3 registered buffers")));

  EXPECT_EQ(host_.resident_bytes(), 0u);
  EXPECT_EQ(pinner.FreeExtents(), 2u);
}

TEST_F(LargeUringPinnerTest, FailureOfALaterBufferUndoesTheEarlier) {
  UringPinner pinner(host_, {});
  host_.SetMemlockLimit(2 * kMaxBufferBytes);

  EXPECT_THAT(pinner.Pin(range_, {}), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

}  // namespace
}  // namespace vmwire
