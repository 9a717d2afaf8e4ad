// System wirings: sections A, B and D of the conformance cases of vm_map_wire(9). User wirings
// (C) and failures have files of their own; E is in vm_map_test.cc.
//
// Without a test, since there is nothing here that they could be asked of: empty ranges (A01, A02;
// a GuestRange has pages); the calls of mlock(2) (A11, A13, C13, C14, C16, E23, F04, F07); a limit
// that is lowered (C15); private copies and truncation of files (D02, D03, D07, D09); large-page
// entries (D10, D11); device entries (D12); short counts of pins (D15); fixed maps (E05); fork
// (E09 to E12, E19, F11); inheritance (E16); growing entries (E20); wiring of what is mapped later
// (F01, F03, F06, F09).
#include "memory/wiring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr WireFlags kSystem = WireFlags::kSystem;
constexpr WireFlags kSystemHoles = WireFlags::kSystem | WireFlags::kHolesOk;

class WiringTest : public testing::TestWithParam<PinLevel> {
 protected:
  // Every wiring is undone here, so that the map may die.
  void TearDown() override {
    EXPECT_THAT(map().CheckInvariants(), IsOk());
    const GuestRange all = Pages(100, 1000);
    while (map().wired_pages() != 0) {
      ASSERT_THAT(map().UnwireRange(all, kSystemHoles), IsOk());
      ASSERT_THAT(map().UnwireRange(all, WireFlags::kUser | WireFlags::kHolesOk), IsOk());
    }
    EXPECT_EQ(test_.HostPinnedPages(), 0u);
    EXPECT_EQ(test_.budget().used(), 0u);
  }

  VmMap& map() { return test_.map(); }
  absl::Status Wire(uint64_t first, uint64_t end, WireFlags flags = kSystem) {
    return map().WireRange(Pages(first, end), flags);
  }
  absl::Status Unwire(uint64_t first, uint64_t end, WireFlags flags = kSystem) {
    return map().UnwireRange(Pages(first, end), flags);
  }
  // Expects that `wire` fails with `code` and leaves the state as it was.
  void ExpectRefused(const absl::Status& status, StatusCode code, const std::string& before) {
    EXPECT_THAT(status, StatusIs(code));
    EXPECT_EQ(test_.State(), before);
  }

  TestMap test_{{.level = GetParam(), .first_page = 100, .end_page = 1000, .max_system_wires = 3}};
};

INSTANTIATE_TEST_SUITE_P(Levels, WiringTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned,
                                         PinLevel::kGuarded),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(WiringTest, A03WireOfAnEmptyMapIsNotFound) {
  ExpectRefused(Wire(110, 120), StatusCode::kNotFound, test_.State());
}

TEST_P(WiringTest, A05StartBelowTheMapIsClamped) {
  test_.Add(100, 110);

  ASSERT_THAT(Wire(90, 105), IsOk());

  EXPECT_EQ(test_.Wires(98, 112), "..1111100000..");
}

TEST_P(WiringTest, A06EndAboveTheMapIsClamped) {
  test_.Add(990, 1000);

  ASSERT_THAT(Wire(995, 2000), IsOk());

  EXPECT_EQ(test_.Wires(990, 1000), "0000011111");
}

TEST_P(WiringTest, A08RangeOutsideTheMapIsAHole) {
  test_.Add(100, 110);
  const std::string before = test_.State();

  ExpectRefused(Wire(10, 20), StatusCode::kNotFound, before);
  ExpectRefused(Unwire(10, 20), StatusCode::kNotFound, before);
  EXPECT_THAT(Wire(10, 20, kSystemHoles), IsOk());
  EXPECT_THAT(Unwire(10, 20, kSystemHoles), IsOk());
  EXPECT_EQ(test_.State(), before);
}

TEST_P(WiringTest, B01WireMakesEveryPageResidentAndPinsItOnce) {
  const auto object = test_.Add(110, 120);

  ASSERT_THAT(Wire(110, 120), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "1111111111");
  EXPECT_EQ(map().entry_count(), 1u);
  EXPECT_EQ(test_.Pinned(*object), "1111111111");
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
  EXPECT_EQ(test_.host().resident_bytes(), 10 * kPageSize);
  EXPECT_EQ(map().wired_pages(), 10u);
  EXPECT_EQ(map().user_wired_pages(), 0u);
}

TEST_P(WiringTest, B02WireOfTheMiddleClipsTheEntry) {
  const auto object = test_.Add(110, 120);

  ASSERT_THAT(Wire(113, 116), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "0001110000");
  EXPECT_EQ(map().entry_count(), 3u);
  EXPECT_EQ(test_.Pinned(*object), "0001110000");
}

TEST_P(WiringTest, B03WiringsNestAndOnlyTheFirstAndLastReachTheHost) {
  test_.Add(110, 120);
  ASSERT_THAT(Wire(110, 120), IsOk());
  test_.journal().Clear();

  ASSERT_THAT(Wire(110, 120), IsOk());
  EXPECT_EQ(test_.Wires(110, 120), "2222222222");
  ASSERT_THAT(Unwire(110, 120), IsOk());
  EXPECT_EQ(test_.Wires(110, 120), "1111111111");
  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
  EXPECT_EQ(test_.HostPinnedPages(), 10u);

  ASSERT_THAT(Unwire(110, 120), IsOk());
  EXPECT_EQ(test_.Wires(110, 120), "0000000000");
  EXPECT_EQ(map().entry_count(), 1u);
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(WiringTest, B04OverlapCountsTwice) {
  const auto object = test_.Add(110, 120);
  ASSERT_THAT(Wire(110, 116), IsOk());
  ASSERT_THAT(Wire(114, 120), IsOk());
  EXPECT_EQ(test_.Wires(110, 120), "1111221111");
  EXPECT_EQ(map().entry_count(), 3u);

  ASSERT_THAT(Unwire(110, 120), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "0000110000");
  // Pages 14 and 15 came with the first wiring: all of its extent stays, the second's goes.
  EXPECT_EQ(test_.Pinned(*object), "1111110000");
  EXPECT_EQ(object->pages().WireCount(0), 0u);
  EXPECT_EQ(object->pages().WireCount(4), 1u);
}

TEST_P(WiringTest, B06EntriesOfDifferentRightsAreWiredAndNotMerged) {
  const auto object = test_.NewObject(10);
  ASSERT_THAT(test_.MapPages(110, 115, object, 0), IsOk());
  ASSERT_THAT(test_.MapPages(115, 120, object, 5, Protection::kRead | Protection::kExecute),
              IsOk());

  ASSERT_THAT(Wire(110, 120), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "1111111111");
  EXPECT_EQ(map().entry_count(), 2u);
}

TEST_P(WiringTest, B07EntryWithoutRightsIsPermissionDeniedAndRollsBack) {
  test_.Add(110, 115);
  test_.Add(115, 120, Protection::kNone);

  ExpectRefused(Wire(110, 120), StatusCode::kPermissionDenied, test_.State());
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(WiringTest, WriteOnlyEntryIsNotAccessible) {
  test_.Add(110, 120, Protection::kWrite);

  ExpectRefused(Wire(110, 120), StatusCode::kPermissionDenied, test_.State());
}

TEST_P(WiringTest, B08EntryWithoutRightsIsSkippedWithHolesOk) {
  test_.Add(110, 115);
  test_.Add(115, 120, Protection::kNone);

  ASSERT_THAT(Wire(110, 120, kSystemHoles), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "1111100000");
}

TEST_P(WiringTest, B09ExecuteAloneSuffices) {
  test_.Add(110, 120, Protection::kExecute);

  ASSERT_THAT(Wire(110, 120), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "1111111111");
}

TEST_P(WiringTest, B11ReadOnlyEntryIsPermissionDeniedWithWrite) {
  test_.Add(110, 120, Protection::kRead);
  const std::string before = test_.State();

  const absl::Status refused = Wire(110, 120, kSystem | WireFlags::kWrite);

  ExpectRefused(refused, StatusCode::kPermissionDenied, before);
  EXPECT_THAT(refused.message(), HasSubstr("not writable"));
  EXPECT_THAT(Wire(110, 120), IsOk());
}

TEST_P(WiringTest, ReadOnlyEntryIsSkippedWithWriteAndHolesOk) {
  test_.Add(110, 115, Protection::kRead);
  test_.Add(115, 120);

  ASSERT_THAT(Wire(110, 120, kSystemHoles | WireFlags::kWrite), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "0000011111");
}

TEST_P(WiringTest, B13GuardEntryFailsOrIsLeftAlone) {
  test_.Add(110, 115);
  ASSERT_THAT(
      map().Map(Pages(115, 116), test_.NewObject(1), 0, Protection::kNone, Protection::kNone),
      IsOk());
  test_.Add(116, 120);

  ExpectRefused(Wire(110, 120), StatusCode::kPermissionDenied, test_.State());
  ASSERT_THAT(Wire(110, 120, kSystemHoles), IsOk());
  EXPECT_EQ(test_.Wires(110, 120), "1111101111");
}

TEST_P(WiringTest, B14HoleInTheMiddleIsNotFoundAndRollsBack) {
  test_.Add(110, 115);
  test_.Add(117, 120);
  const std::string before = test_.State();

  const absl::Status refused = Wire(110, 120);

  ExpectRefused(refused, StatusCode::kNotFound, before);
  EXPECT_THAT(refused.message(), HasSubstr("[0x73000, 0x75000)"));
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(WiringTest, HoleIsPassedOverWithHolesOk) {
  test_.Add(110, 115);
  test_.Add(117, 120);

  ASSERT_THAT(Wire(105, 130, kSystemHoles), IsOk());
  EXPECT_EQ(test_.Wires(108, 122), "..11111..111..");
  ASSERT_THAT(Unwire(105, 130, kSystemHoles), IsOk());
  EXPECT_EQ(map().wired_pages(), 0u);
}

TEST_P(WiringTest, B15HoleAtTheEndIsNotFound) {
  test_.Add(110, 115);

  ExpectRefused(Wire(110, 120), StatusCode::kNotFound, test_.State());
}

TEST_P(WiringTest, B16HoleAtTheStartIsNotFoundBeforeAnyFault) {
  test_.Add(115, 120);
  const std::string before = test_.State();
  test_.journal().Clear();

  ExpectRefused(Wire(110, 120), StatusCode::kNotFound, before);
  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
}

TEST_P(WiringTest, B18UnwireOfWhatIsNotWiredIsFailedPrecondition) {
  test_.Add(110, 120);

  ExpectRefused(Unwire(110, 120), StatusCode::kFailedPrecondition, test_.State());
}

TEST_P(WiringTest, B19UnwireIsAllOrNothing) {
  test_.Add(110, 120);
  ASSERT_THAT(Wire(110, 115), IsOk());

  ExpectRefused(Unwire(110, 120), StatusCode::kFailedPrecondition, test_.State());
  EXPECT_EQ(test_.Wires(110, 120), "1111100000");
}

TEST_P(WiringTest, B20SystemUnwireOfAUserWiringIsFailedPrecondition) {
  test_.Add(110, 120);
  ASSERT_THAT(Wire(110, 120, WireFlags::kUser), IsOk());

  ExpectRefused(Unwire(110, 120), StatusCode::kFailedPrecondition, test_.State());
}

TEST_P(WiringTest, B21UnwireOverAHoleIsNotFound) {
  test_.Add(110, 115);
  test_.Add(117, 120);
  ASSERT_THAT(Wire(110, 120, kSystemHoles), IsOk());

  ExpectRefused(Unwire(110, 120), StatusCode::kNotFound, test_.State());
}

TEST_P(WiringTest, B23HolesOkUnwireIsTheInverseOfHolesOkWire) {
  test_.Add(110, 115);
  test_.Add(115, 118, Protection::kNone);
  test_.Add(119, 120);
  const std::string before = test_.State();
  ASSERT_THAT(Wire(110, 120, kSystemHoles), IsOk());
  EXPECT_EQ(test_.Wires(110, 120), "11111000.1");

  ASSERT_THAT(Unwire(110, 120, kSystemHoles), IsOk());

  EXPECT_EQ(test_.State(), before);
}

TEST_P(WiringTest, B24UnwireOfTheMiddleKeepsTheExtentPinnedAndCharged) {
  const auto object = test_.Add(110, 120);
  ASSERT_THAT(Wire(110, 120), IsOk());

  ASSERT_THAT(Unwire(113, 116), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "1110001111");
  EXPECT_EQ(map().wired_pages(), 7u);
  EXPECT_EQ(object->pages().WireCount(4), 0u);
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
  ASSERT_THAT(Unwire(110, 113), IsOk());
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
  ASSERT_THAT(Unwire(116, 120), IsOk());
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(WiringTest, B25WiringBeyondTheMostThereCanBeIsResourceExhausted) {
  test_.Add(110, 120);
  for (int i = 0; i < 3; ++i) ASSERT_THAT(Wire(112, 114), IsOk());
  const std::string before = test_.State();

  const absl::Status refused = Wire(110, 120);

  ExpectRefused(refused, StatusCode::kResourceExhausted, before);
  EXPECT_THAT(refused.message(), HasSubstr("3 wirings"));
}

TEST_P(WiringTest, B27ProtectionIsNotLookedAtOnUnwire) {
  test_.Add(110, 120);
  ASSERT_THAT(Wire(110, 120), IsOk());
  ASSERT_THAT(map().Protect(Pages(110, 120), Protection::kNone), IsOk());
  EXPECT_EQ(test_.Wires(110, 120), "1111111111");
  EXPECT_EQ(test_.HostPinnedPages(), 10u);

  ASSERT_THAT(Unwire(110, 120), IsOk());

  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_P(WiringTest, B29EntriesOfDifferentObjectsAreNeverMerged) {
  test_.Add(110, 120);
  test_.Add(120, 130);

  ASSERT_THAT(Wire(110, 130), IsOk());
  EXPECT_EQ(map().entry_count(), 2u);
  ASSERT_THAT(Unwire(110, 130), IsOk());
  EXPECT_EQ(map().entry_count(), 2u);
}

TEST_P(WiringTest, NeighbourWiringsOfEqualCountBecomeOneEntry) {
  test_.Add(110, 120);
  ASSERT_THAT(Wire(110, 115), IsOk());
  ASSERT_THAT(Wire(115, 120), IsOk());
  EXPECT_EQ(map().entry_count(), 1u);

  ASSERT_THAT(Unwire(112, 118), IsOk());

  EXPECT_EQ(test_.Wires(110, 120), "1100000011");
  EXPECT_EQ(test_.HostPinnedPages(), 10u);
}

TEST_P(WiringTest, D01WiredPagesAreResidentAndZero) {
  const auto object = test_.Add(110, 120);

  ASSERT_THAT(Wire(110, 120), IsOk());

  EXPECT_EQ(test_.host().resident_bytes(), 10 * kPageSize);
  const std::byte* bytes = HostPointer(object->host_range().start());
  for (uint64_t i = 0; i < object->size(); ++i) ASSERT_EQ(bytes[i], std::byte{0}) << i;
}

TEST_P(WiringTest, D06WirePastTheObjectIsOutOfRangeAndRollsBack) {
  test_.Add(105, 110);
  ASSERT_THAT(test_.MapPages(110, 120, test_.NewObject(5)), IsOk());
  const std::string before = test_.State();

  ExpectRefused(Wire(110, 120), StatusCode::kOutOfRange, before);
  ExpectRefused(Wire(105, 116), StatusCode::kOutOfRange, before);
  ExpectRefused(Wire(110, 120, kSystemHoles), StatusCode::kOutOfRange, before);
  EXPECT_THAT(Wire(105, 115), IsOk());
}

}  // namespace
}  // namespace vmwire
