#include "memory/uring_pinner.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

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

TEST_F(UringPinnerTest, PinFaultsInThenRegistersOneBuffer) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent extent, pinner.Pin(range_, {}));

  EXPECT_THAT(journal_.entries(),
              ElementsAre("create buffer table", "populate 0x8000", "set buffer 0 0x8000"));
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
  UringPinner pinner(host_, {}, 2);
  for (int round = 0; round < 5; ++round) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
    VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent second, pinner.Pin(PageAt(1), {}));
    pinner.Unpin(first);
    pinner.Unpin(second);
  }

  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

TEST_F(UringPinnerTest, NoSlotLeftIsResourceExhausted) {
  UringPinner pinner(host_, {}, 1);
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));

  EXPECT_THAT(pinner.Pin(PageAt(1), {}),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("all 1 are in use")));

  EXPECT_EQ(host_.buffer_bytes(), kPageSize);
  pinner.Unpin(first);
}

TEST_F(UringPinnerTest, RefusalJustAfterAnUnpinIsTriedAgain) {
  UringPinner pinner(host_, {});
  VMWIRE_ASSERT_OK_AND_ASSIGN(const PinnedExtent first, pinner.Pin(PageAt(0), {}));
  pinner.Unpin(first);
  journal_.FailNth(2, ENOMEM);  // The buffer; before it comes the populate.

  const absl::StatusOr<PinnedExtent> second = pinner.Pin(PageAt(0), {});

  EXPECT_TRUE(journal_.failed());
  ASSERT_THAT(second, IsOk());
  pinner.Unpin(*second);
}

TEST_F(UringPinnerTest, StopBetweenTwoBuffersUnpinsTheFirst) {
  UringPinner pinner(host_, {});
  const HostRange large =
      *host_.Map({.size = kMaxBufferBytes + kPageSize, .congruent_to = 0, .file = {}});

  EXPECT_THAT(pinner.Pin(large, [this](uint64_t) { return host_.buffer_bytes() == 0; }),
              StatusIs(StatusCode::kCancelled));

  EXPECT_THAT(journal_.EntriesWith("set buffer"), SizeIs(1));
  EXPECT_EQ(host_.buffer_bytes(), 0u);
  host_.Unmap(large);
}

TEST_F(UringPinnerTest, FailedBufferGivesItsSlotBack) {
  UringPinner pinner(host_, {}, 1);
  journal_.FailNth(3, ENOMEM);
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

  EXPECT_THAT(pinner.Pin(range_, [](uint64_t) { return false; }), StatusIs(StatusCode::kCancelled));

  EXPECT_EQ(host_.buffer_bytes(), 0u);
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

TEST_F(LargeUringPinnerTest, FailureOfALaterBufferUndoesTheEarlier) {
  UringPinner pinner(host_, {});
  host_.SetMemlockLimit(2 * kMaxBufferBytes);

  EXPECT_THAT(pinner.Pin(range_, {}), StatusIs(StatusCode::kResourceExhausted));

  EXPECT_EQ(host_.buffer_bytes(), 0u);
}

}  // namespace
}  // namespace vmwire
