// Rows P of the checklist of bad inputs: what is asked of pins and of the ports above them. Rows
// 57, 59 and 60 are in dma_space_test.cc and dma_port_contract_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "devices/dma_space.h"
#include "memory/read_section.h"
#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

class PinChecklistTest : public testing::Test {
 protected:
  PinChecklistTest() : map_({.level = PinLevel::kGuarded, .budget_pages = 16}) {
    object_ = map_.Add(0, 8);
    space_.emplace(map_.host(), map_.map(), Pages(0, 1000), DmaSpace::Options{});
    port_ = space_->CreatePort("disk");
  }

  TestMap map_;
  std::shared_ptr<VmObject> object_;
  std::optional<DmaSpace> space_;
  std::unique_ptr<DmaPort> port_;
};

TEST_F(PinChecklistTest, P53UnwiringWhatWasNeverWiredIsRefusedAndCountsStay) {
  const std::string before = map_.State();

  EXPECT_THAT(map_.map().UnwireRange(Pages(0, 4), WireFlags::kSystem),
              StatusIs(StatusCode::kFailedPrecondition));

  EXPECT_EQ(map_.State(), before);
}

TEST_F(PinChecklistTest, P54UnwiringAPartKeepsThePinUntilItsLastPageGoes) {
  ASSERT_THAT(map_.map().WireRange(Pages(0, 4), WireFlags::kSystem), IsOk());

  ASSERT_THAT(map_.map().UnwireRange(Pages(0, 2), WireFlags::kSystem), IsOk());
  EXPECT_EQ(map_.pins().pinned_bytes(), 4 * kPageSize);

  ASSERT_THAT(map_.map().UnwireRange(Pages(2, 4), WireFlags::kSystem), IsOk());
  EXPECT_EQ(map_.pins().pinned_bytes(), 0u);
}

TEST_F(PinChecklistTest, P55CountAtItsMaximumIsRefused) {
  ASSERT_THAT(map_.map().WireRange(Pages(0, 8), WireFlags::kSystem), IsOk());
  map_.map().ForceSystemWiresForTesting(Page(0), kMaxWireCount);

  EXPECT_THAT(map_.map().Wire(Pages(0, 8)), StatusIs(StatusCode::kResourceExhausted));

  map_.map().ForceSystemWiresForTesting(Page(0), 1);
  EXPECT_THAT(map_.map().UnwireRange(Pages(0, 8), WireFlags::kSystem), IsOk());
}

TEST_F(PinChecklistTest, P56WiringOverTheLimitNamesItAndPinsNothing) {
  map_.Add(100, 120);

  EXPECT_THAT(map_.map().Wire(Pages(100, 120)),
              StatusIs(StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("81920 bytes"), HasSubstr("65536"))));

  EXPECT_EQ(map_.pins().pinned_bytes(), 0u);
}

TEST_F(PinChecklistTest, P58HoleInTheMiddleUndoesAllAndIsNamed) {
  map_.Add(9, 12);

  EXPECT_THAT(map_.map().Wire(Pages(4, 12)), StatusIs(StatusCode::kNotFound, HasSubstr("0x8000")));

  EXPECT_EQ(map_.pins().pinned_bytes(), 0u);
}

TEST_F(PinChecklistTest, P61MappingForReadingCannotBeHadForWriting) {
  map_.Add(20, 21, Protection::kRead);
  const auto wired = map_.map().Wire(Pages(20, 21));
  ASSERT_THAT(wired, IsOk());

  EXPECT_THAT(port_->Map(Page(20), 8, DmaDirection::kFromDevice),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("disk")));
}

TEST_F(PinChecklistTest, P62OverlappingMappingAlreadyExists) {
  EXPECT_THAT(map_.MapPages(7, 9, map_.NewObject(2)), StatusIs(StatusCode::kAlreadyExists));
}

TEST_F(PinChecklistTest, P63RemovalOfAPartOfWhatIsMappedForDmaChangesNothing) {
  const auto wired = map_.map().Wire(Pages(0, 4));
  const auto mapping = port_->Map(Page(0), 4 * kPageSize, DmaDirection::kToDevice);
  ASSERT_THAT(mapping, IsOk());
  const std::string before = map_.State();

  EXPECT_THAT(map_.map().Remove(Pages(1, 2)), StatusIs(StatusCode::kFailedPrecondition));

  EXPECT_EQ(map_.State(), before);
}

TEST_F(PinChecklistTest, P64TranslationOfWhatWasRemovedIsGone) {
  ASSERT_THAT(map_.map().Remove(Pages(0, 4)), IsOk());
  HostPlace place;

  const ReadGuard guard;
  EXPECT_FALSE(map_.map().translations().Translate(Page(1), 1, place));
  EXPECT_TRUE(map_.map().translations().Translate(Page(5), 1, place));
}

}  // namespace
}  // namespace vmwire
