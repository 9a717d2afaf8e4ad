// VmMap::RemoveWait: it waits for what Remove refuses, for as long as it is told.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using testing::HasSubstr;

WaitLimits For(milliseconds time) { return {.deadline = std::chrono::steady_clock::now() + time}; }

class RemoveWaitTest : public testing::Test {
 protected:
  void SetUp() override { test_.Add(10, 20); }
  void TearDown() override { EXPECT_THAT(map().CheckInvariants(), IsOk()); }
  VmMap& map() { return test_.map(); }

  // Removes [10, 20) in another thread, and expects that this ends with `let_go`, and well.
  template <typename LetGo>
  void ExpectItWaitsFor(LetGo let_go) {
    absl::Status removed = absl::UnknownError("not yet");
    std::thread remover([&] { removed = map().RemoveWait(Pages(10, 20), {}); });
    std::this_thread::sleep_for(milliseconds(30));
    EXPECT_TRUE(map().Lookup(Page(10)).has_value());
    let_go();
    remover.join();
    EXPECT_THAT(removed, IsOk());
    EXPECT_EQ(map().entry_count(), 0u);
    EXPECT_EQ(test_.host().mappings(), 0u);
  }
  // Expects that the range can be removed neither by the deadline nor before a stop.
  void ExpectItGivesUp(const std::string& because) {
    const std::string before = test_.State();
    EXPECT_THAT(map().RemoveWait(Pages(10, 20), For(milliseconds(10))),
                StatusIs(StatusCode::kDeadlineExceeded, HasSubstr(because)));
    EXPECT_THAT(map().RemoveWait(Pages(10, 20), For(milliseconds(-1))),
                StatusIs(StatusCode::kDeadlineExceeded));
    EXPECT_EQ(test_.State(), before);
    std::stop_source source;
    std::thread stopper([&source] {
      std::this_thread::sleep_for(milliseconds(10));
      source.request_stop();
    });
    EXPECT_THAT(map().RemoveWait(Pages(10, 20), {.stop = source.get_token()}),
                StatusIs(StatusCode::kCancelled, HasSubstr(because)));
    stopper.join();
    EXPECT_EQ(test_.State(), before);
  }

  TestMap test_;
};

TEST_F(RemoveWaitTest, NothingToWaitForIsRemovedWhateverTheDeadline) {
  ASSERT_THAT(map().WireRange(Pages(12, 14), WireFlags::kUser), IsOk());

  EXPECT_THAT(map().RemoveWait(Pages(5, 25), For(milliseconds(-1))), IsOk());

  EXPECT_EQ(map().entry_count(), 0u);
  EXPECT_EQ(map().user_wired_pages(), 0u);
  EXPECT_THAT(map().RemoveWait(Pages(5, 25), For(milliseconds(-1))), IsOk()) << "a hole";
}

TEST_F(RemoveWaitTest, ItWaitsForTheUnwire) {
  ASSERT_THAT(map().WireRange(Pages(12, 14), WireFlags::kSystem), IsOk());

  ExpectItWaitsFor(
      [this] { EXPECT_THAT(map().UnwireRange(Pages(12, 14), WireFlags::kSystem), IsOk()); });
}

TEST_F(RemoveWaitTest, ItWaitsForTheLastOfTwoUnwires) {
  ASSERT_THAT(map().WireRange(Pages(12, 14), WireFlags::kSystem), IsOk());
  ASSERT_THAT(map().WireRange(Pages(13, 16), WireFlags::kSystem), IsOk());

  ExpectItWaitsFor([this] {
    EXPECT_THAT(map().UnwireRange(Pages(12, 14), WireFlags::kSystem), IsOk());
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_TRUE(map().Lookup(Page(12)).has_value());
    EXPECT_THAT(map().UnwireRange(Pages(13, 16), WireFlags::kSystem), IsOk());
  });
}

TEST_F(RemoveWaitTest, ItWaitsForTheWiringToken) {
  auto wired = map().Wire(Pages(12, 14));
  ASSERT_THAT(wired, IsOk());
  std::optional<WiredRange> token = *std::move(wired);

  ExpectItWaitsFor([&token] { token.reset(); });
}

TEST_F(RemoveWaitTest, ItWaitsForTheMappingToken) {
  auto kept = map().KeepMapped(Pages(12, 14));
  ASSERT_THAT(kept, IsOk());
  std::optional<MappedRange> token = *std::move(kept);

  ExpectItWaitsFor([&token] { token.reset(); });
}

TEST_F(RemoveWaitTest, ItWaitsForTheHold) {
  ASSERT_THAT(map().WireRange(Pages(12, 14), WireFlags::kUser), IsOk());
  auto held = map().Hold(Page(13), 8, Protection::kRead);
  ASSERT_THAT(held, IsOk());
  std::optional<HeldRange> hold = *std::move(held);

  ExpectItWaitsFor([&hold] { hold.reset(); });
  EXPECT_EQ(test_.HostPinnedPages(), 0u);
}

TEST_F(RemoveWaitTest, ItGivesUpOnASystemWiring) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange token, map().Wire(Pages(12, 14)));

  ExpectItGivesUp("[0xc000, 0xe000)");
}

TEST_F(RemoveWaitTest, ItGivesUpOnAMappingToken) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const MappedRange token, map().KeepMapped(Pages(12, 14)));

  ExpectItGivesUp("[0xc000, 0xe000)");
}

TEST_F(RemoveWaitTest, ItGivesUpOnAHoldAndNamesTheHolder) {
  ASSERT_THAT(map().WireRange(Pages(12, 14), WireFlags::kUser), IsOk());
  VMWIRE_ASSERT_OK_AND_ASSIGN(const HeldRange held, map().Hold(Page(13), 8, Protection::kRead));

  ExpectItGivesUp("holds guest memory [0xd000, 0xe000)");
  EXPECT_THAT(map().Hold(Page(12), 8, Protection::kRead), IsOk()) << "its translations are back";
}

TEST_F(RemoveWaitTest, StopThatCameBeforeIsCancelledAtOnce) {
  VMWIRE_ASSERT_OK_AND_ASSIGN(const WiredRange token, map().Wire(Pages(12, 14)));
  std::stop_source source;
  source.request_stop();

  EXPECT_THAT(map().RemoveWait(Pages(10, 20), {.stop = source.get_token()}),
              StatusIs(StatusCode::kCancelled));
}

TEST_F(RemoveWaitTest, RangeThatCutsAHugePageIsInvalidArgument) {
  constexpr uint64_t kHuge = kHugePageSize / kPageSize;
  test_.host().SetHugetlbPool(kHugePageSize, 1);
  VmMap map(test_.pins(), {});
  ASSERT_THAT(map.Map(Pages(0, kHuge), test_.NewObject(kHuge, MemoryBacking::kHugetlb), 0,
                      Protection::kRead),
              IsOk());

  EXPECT_THAT(map.RemoveWait(Pages(0, 1), {}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(map.Remove(Pages(kHuge - 1, kHuge)), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmwire
