// VmMap::Hold: pages that are wired stay where they are while a transfer runs.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "memory/page_wiring.h"
#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t k47Bits = (uint64_t{1} << 47) / kPageSize;  // In pages.

// Counts the locks of this thread; there is no other meanwhile.
class LockCounter final : public SyncHooks {
 public:
  LockCounter() { Install(this); }
  LockCounter(const LockCounter&) = delete;
  LockCounter& operator=(const LockCounter&) = delete;
  ~LockCounter() override { Install(nullptr); }
  void Lock(const void*) override { ++locks_; }
  void Unlock(const void*) override {}
  bool Wait(const void*, const void*, bool) override {
    ADD_FAILURE() << "there is nothing to wait for";
    return false;
  }
  void NotifyAll(const void*) override {}
  int locks() const { return locks_; }

 private:
  int locks_ = 0;
};

class VmMapHoldTest : public testing::TestWithParam<PinLevel> {
 protected:
  void TearDown() override { EXPECT_THAT(map().CheckInvariants(), IsOk()); }
  VmMap& map() { return test_.map(); }
  absl::Status Wire(uint64_t first, uint64_t end) {
    return map().WireRange(Pages(first, end), WireFlags::kUser);
  }
  absl::Status Unwire(uint64_t first, uint64_t end) {
    return map().UnwireRange(Pages(first, end), WireFlags::kUser);
  }
  auto Hold(uint64_t first, uint64_t end, Protection access = Protection::kRead) {
    return map().Hold(Page(first), (end - first) * kPageSize, access);
  }
  static std::byte* HostByte(const VmObject& object, uint64_t offset) {
    return HostPointer(object.host_range().start()) + offset;
  }
  // The locks that a hold and its release take.
  int LocksOfHold(uint64_t first, uint64_t end) {
    const LockCounter counter;
    {
      const auto held = Hold(first, end);
      EXPECT_THAT(held, IsOk());
    }
    return counter.locks();
  }

  TestMap test_{{.level = GetParam(), .end_page = 2 * k47Bits}};
};

INSTANTIATE_TEST_SUITE_P(Levels, VmMapHoldTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(VmMapHoldTest, HoldIsTheHostMemoryBehindTheBytes) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());

  VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held, map().Hold(GuestAddress(11 * kPageSize + 5),
                                                               kPageSize, Protection::kReadWrite));

  EXPECT_EQ(held.bytes().data(), HostByte(*object, kPageSize + 5));
  EXPECT_EQ(held.bytes().size(), kPageSize);
}

TEST_P(VmMapHoldTest, HoldOfWiredMemoryInOnePieceTakesNoLock) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  ASSERT_THAT(map().WireRange(Pages(12, 15), WireFlags::kSystem), IsOk());

  EXPECT_EQ(LocksOfHold(11, 12), 0);
  EXPECT_EQ(LocksOfHold(10, 20), 0) << "three entries, one piece";

  ASSERT_THAT(map().UnwireRange(Pages(12, 15), WireFlags::kSystem), IsOk());
}

TEST_P(VmMapHoldTest, HoldOverEntriesOfDifferentRightsAsksTheMap) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(map().Protect(Pages(15, 20), Protection::kRead), IsOk());
  ASSERT_THAT(Wire(10, 20), IsOk());

  EXPECT_GT(LocksOfHold(14, 16), 0);

  VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held, Hold(14, 16));
  EXPECT_EQ(held.bytes().data(), HostByte(*object, 4 * kPageSize));
  EXPECT_THAT(Hold(14, 16, Protection::kWrite), StatusIs(StatusCode::kPermissionDenied));
}

TEST_P(VmMapHoldTest, AliasAsksTheMapUntilItIsRemoved) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  ASSERT_THAT(test_.MapPages(30, 40, object), IsOk());
  EXPECT_GT(LocksOfHold(10, 11), 0);

  ASSERT_THAT(map().Remove(Pages(30, 40)), IsOk());

  EXPECT_EQ(LocksOfHold(10, 11), 0);
}

TEST_P(VmMapHoldTest, AliasOfWiredPagesIsNotWiredItself) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(test_.MapPages(30, 40, object), IsOk());
  ASSERT_THAT(Wire(10, 20), IsOk());

  EXPECT_THAT(Hold(30, 31), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("[0x1e000")));
  EXPECT_THAT(Hold(10, 11), IsOk());
}

TEST_P(VmMapHoldTest, PageThatIsWiredByItselfIsNotWiredInTheMap) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  VmPage& page = **object->FindResident(3);
  ASSERT_THAT(WirePage(page, test_.pins()), IsOk());
  ASSERT_THAT(Unwire(10, 20), IsOk());

  EXPECT_THAT(Hold(13, 14), StatusIs(StatusCode::kFailedPrecondition));

  UnwirePage(page, PageQueue::kActive);
}

TEST_P(VmMapHoldTest, HoleIsNotFound) {
  test_.Add(10, 20);
  test_.Add(21, 30);
  ASSERT_THAT(Wire(10, 20), IsOk());
  ASSERT_THAT(Wire(21, 30), IsOk());

  EXPECT_THAT(Hold(19, 22), StatusIs(StatusCode::kNotFound, HasSubstr("0x14000")));
  EXPECT_THAT(Hold(9, 11), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(Hold(500, 501), StatusIs(StatusCode::kNotFound));
}

TEST_P(VmMapHoldTest, MissingRightsAndGuardsArePermissionDenied) {
  test_.Add(10, 20, Protection::kRead);
  ASSERT_THAT(map().MapGuard(Pages(20, 21)), IsOk());
  ASSERT_THAT(Wire(10, 20), IsOk());

  EXPECT_THAT(Hold(10, 11, Protection::kWrite), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(Hold(10, 11, Protection::kExecute), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(Hold(19, 21), StatusIs(StatusCode::kPermissionDenied, HasSubstr("guard")));
  EXPECT_THAT(Hold(10, 11), IsOk());
}

TEST_P(VmMapHoldTest, NotWiredIsFailedPreconditionNamingTheEntry) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 15), IsOk());

  EXPECT_THAT(Hold(14, 16), StatusIs(StatusCode::kFailedPrecondition,
                                     AllOf(HasSubstr("not wired"), HasSubstr("[0xf000"))));
  EXPECT_THAT(Hold(16, 17), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_P(VmMapHoldTest, TwoPiecesOfHostMemoryAreOutOfRange) {
  test_.Add(10, 15);
  test_.Add(15, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());

  EXPECT_THAT(Hold(14, 16), StatusIs(StatusCode::kOutOfRange, HasSubstr("[0xf000")));
}

TEST_P(VmMapHoldTest, EmptyAndWrappingAreInvalidArgument) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());

  for (const uint64_t size : {uint64_t{0}, UINT64_MAX, UINT64_MAX - 10 * kPageSize}) {
    EXPECT_THAT(map().Hold(Page(10), size, Protection::kRead),
                StatusIs(StatusCode::kInvalidArgument))
        << size;
  }
  EXPECT_THAT(map().Hold(GuestAddress(UINT64_MAX), 1, Protection::kRead),
              StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(VmMapHoldTest, MemoryFromTwoToThe47OnIsHeldToo) {
  const auto object = test_.Add(k47Bits - 5, k47Bits + 5);
  ASSERT_THAT(Wire(k47Bits - 5, k47Bits + 5), IsOk());
  for (const uint64_t first : {k47Bits - 2, k47Bits - 1, k47Bits, k47Bits + 4}) {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held,
                                Hold(first, std::min(first + 2, k47Bits + 5)));
    EXPECT_EQ(held.bytes().data(), HostByte(*object, (first - (k47Bits - 5)) * kPageSize));
    EXPECT_THAT(map().Remove(Pages(first, first + 1)), StatusIs(StatusCode::kFailedPrecondition));
  }
  EXPECT_THAT(Hold(k47Bits + 5, k47Bits + 6), StatusIs(StatusCode::kNotFound));
}

TEST_P(VmMapHoldTest, UnwiredPagesStayPinnedUntilTheReleaseAndAreThenLetGo) {
  const auto object = test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 15), IsOk());
  ASSERT_THAT(Wire(15, 20), IsOk());
  auto held = Hold(12, 13, Protection::kReadWrite);
  ASSERT_THAT(held, IsOk());
  std::optional<HeldRange> hold = *std::move(held);

  ASSERT_THAT(Unwire(10, 20), IsOk());
  EXPECT_EQ(test_.Pinned(*object), "1111100000") << "the whole extent of the held page";
  EXPECT_EQ(object->pages().WireCount(2), 0u);
  EXPECT_EQ(test_.budget().used(), 5 * kPageSize);
  std::memset(hold->bytes().data(), 1, hold->bytes().size());
  hold.reset();

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
  EXPECT_EQ(test_.budget().used(), 0u);
}

TEST_P(VmMapHoldTest, LastOfSeveralHoldsLetsThePagesGo) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  auto first = Hold(10, 12);
  auto second = Hold(11, 20);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  std::optional<HeldRange> one = *std::move(first);
  std::optional<HeldRange> two = *std::move(second);
  ASSERT_THAT(Unwire(10, 20), IsOk());

  one.reset();
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
  two.reset();

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(VmMapHoldTest, HeldPagesThatWereUnwiredAreWiredAgainWithoutTheHost) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held, Hold(12, 13));
    ASSERT_THAT(Unwire(10, 20), IsOk());
    EXPECT_THAT(Hold(12, 13), StatusIs(StatusCode::kFailedPrecondition)) << "held, not wired";
    test_.journal().Clear();
    ASSERT_THAT(Wire(10, 20), IsOk());
    EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
  }
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
}

TEST_P(VmMapHoldTest, ReleaseByAnotherThreadLetsGoAsWell) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  auto held = Hold(12, 13);
  ASSERT_THAT(held, IsOk());
  ASSERT_THAT(Unwire(10, 20), IsOk());

  std::thread([hold = *std::move(held)] {}).join();

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(VmMapHoldTest, RemoveOfAHeldPageIsRefusedNamingTheHolder) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held, Hold(12, 14));
    const std::string before = test_.State();

    EXPECT_THAT(
        map().Remove(Pages(13, 20)),
        StatusIs(StatusCode::kFailedPrecondition,
                 AllOf(HasSubstr("holds guest memory [0xc000, 0xe000)"), HasSubstr("thread "))));

    EXPECT_EQ(test_.State(), before);
    EXPECT_THAT(Hold(13, 20), IsOk()) << "its translations are back";
    EXPECT_THAT(map().Remove(Pages(14, 20)), IsOk()) << "beside the hold";
  }
  EXPECT_THAT(map().Remove(Pages(10, 14)), IsOk());
}

TEST_P(VmMapHoldTest, ProtectLeavesTheHoldAndRefusesTheNext) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held, Hold(12, 13, Protection::kReadWrite));

  ASSERT_THAT(map().Protect(Pages(10, 20), Protection::kRead), IsOk());

  EXPECT_THAT(Hold(12, 13, Protection::kReadWrite), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(Hold(12, 13), IsOk());
}

TEST_P(VmMapHoldTest, CheckUnusedNamesTheHolder) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  EXPECT_THAT(map().CheckUnused(), IsOk());
  {
    VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held, Hold(12, 14));
    EXPECT_THAT(map().CheckUnused(), StatusIs(StatusCode::kFailedPrecondition,
                                              HasSubstr("guest memory [0xc000, 0xe000)")));
  }
  EXPECT_THAT(map().CheckUnused(), IsOk());
}

TEST_P(VmMapHoldTest, MoveMovesTheHold) {
  test_.Add(10, 20);
  ASSERT_THAT(Wire(10, 20), IsOk());
  auto held = Hold(12, 13);
  ASSERT_THAT(held, IsOk());
  {
    HeldRange moved = *std::move(held);
    HeldRange& same = moved;
    moved = std::move(same);
    EXPECT_THAT(map().CheckUnused(), StatusIs(StatusCode::kFailedPrecondition));
  }
  EXPECT_THAT(map().CheckUnused(), IsOk());
}

}  // namespace
}  // namespace vmwire
