// VmObject::Discard: pages go back to the host, but none that anybody needs.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>

#include "memory/page_wiring.h"
#include "memory/vm_object.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

using Param = std::tuple<PinLevel, MemoryBacking>;

class DiscardTest : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    object_ = test_.NewObject(10, std::get<1>(GetParam()));
    ASSERT_THAT(test_.MapPages(10, 20, object_), IsOk());
  }
  VmMap& map() { return test_.map(); }
  std::byte& Byte(uint64_t page) {
    return HostPointer(object_->host_range().start())[page * kPageSize];
  }
  // Makes all pages resident and not zero.
  void Touch() {
    ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());
    ASSERT_THAT(map().UnwireRange(Pages(10, 20), WireFlags::kUser), IsOk());
    for (uint64_t page = 0; page < 10; ++page) Byte(page) = std::byte{0xab};
  }
  // Expects that nothing of `run` can be discarded now; returns why.
  std::string Refused(const PageRun& run, StatusCode code = StatusCode::kFailedPrecondition) {
    const std::string before = test_.State();
    test_.journal().Clear();
    const absl::Status refused = object_->Discard(run);
    EXPECT_THAT(refused, StatusIs(code));
    EXPECT_EQ(test_.State(), before);
    EXPECT_THAT(test_.journal().EntriesWith("discard"), testing::IsEmpty());
    return std::string(refused.message());
  }

  TestMap test_{{.level = std::get<0>(GetParam())}};
  std::shared_ptr<VmObject> object_;
};

INSTANTIATE_TEST_SUITE_P(
    , DiscardTest,
    testing::Combine(testing::Values(PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded),
                     testing::Values(MemoryBacking::kAnonymous, MemoryBacking::kMemfd)),
    [](const testing::TestParamInfo<Param>& info) {
      return ToString(std::get<0>(info.param)) + "_" + ToString(std::get<1>(info.param));
    });

TEST_P(DiscardTest, DiscardedPagesReadAsZeroesAndTheOthersStay) {
  Touch();

  ASSERT_THAT(object_->Discard({3, 6}), IsOk());

  EXPECT_EQ(Byte(2), std::byte{0xab});
  EXPECT_EQ(Byte(3), std::byte{0});
  EXPECT_EQ(Byte(5), std::byte{0});
  EXPECT_EQ(Byte(6), std::byte{0xab});
  EXPECT_EQ(test_.host().resident_bytes(), 7 * kPageSize);
}

TEST_P(DiscardTest, DiscardedPageIsNotResidentAndOnNoQueue) {
  Touch();
  ASSERT_NE(*object_->FindResident(3), nullptr);

  ASSERT_THAT(object_->Discard({3, 4}), IsOk());

  EXPECT_EQ(*object_->FindResident(3), nullptr);
  EXPECT_EQ(object_->pages().Find(3)->queue(), PageQueue::kNone);
  EXPECT_FALSE(object_->pages().Find(3)->IsBlocked());
  EXPECT_NE(*object_->FindResident(4), nullptr);
}

TEST_P(DiscardTest, DiscardedPageCanBeWiredAgain) {
  Touch();
  ASSERT_THAT(object_->Discard({0, 10}), IsOk());

  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());

  EXPECT_EQ(test_.HostPinnedPages(), 10u);
  EXPECT_EQ(Byte(9), std::byte{0});
}

TEST_P(DiscardTest, RunOfNoPagesDoesNothing) {
  test_.journal().Clear();

  EXPECT_THAT(object_->Discard({4, 4}), IsOk());
  EXPECT_THAT(object_->Discard({10, 10}), IsOk());

  EXPECT_THAT(test_.journal().entries(), testing::IsEmpty());
}

TEST_P(DiscardTest, PastTheEndIsOutOfRange) {
  EXPECT_THAT(Refused({5, 11}, StatusCode::kOutOfRange), HasSubstr("0xa pages"));
  Refused({10, 11}, StatusCode::kOutOfRange);
  Refused({0, UINT64_MAX}, StatusCode::kOutOfRange);
  Refused({5, 4}, StatusCode::kOutOfRange);
}

TEST_P(DiscardTest, WiredPageIsRefusedAndNamed) {
  ASSERT_THAT(map().WireRange(Pages(13, 15), WireFlags::kUser), IsOk());

  EXPECT_THAT(Refused({0, 10}),
              AllOf(HasSubstr("[0x0, 0xa)"), HasSubstr("[0x3, 0x5)"), HasSubstr("wired")));
  Refused({4, 5});
  EXPECT_THAT(object_->Discard({0, 3}), IsOk());
  EXPECT_THAT(object_->Discard({5, 10}), IsOk());
}

TEST_P(DiscardTest, PageThatIsWiredByItselfIsRefused) {
  Touch();
  VmPage* const page = *object_->FindResident(4);
  ASSERT_THAT(WirePage(*page, test_.pins()), IsOk());

  Refused({4, 5});

  UnwirePage(*page, PageQueue::kActive);
  EXPECT_THAT(object_->Discard({4, 5}), IsOk());
}

TEST_P(DiscardTest, UnwiredPageOfALongerExtentIsRefused) {
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());
  ASSERT_THAT(map().UnwireRange(Pages(10, 19), WireFlags::kUser), IsOk());

  EXPECT_THAT(Refused({0, 2}), HasSubstr("[0x0, 0xa)"));

  ASSERT_THAT(map().UnwireRange(Pages(19, 20), WireFlags::kUser), IsOk());
  EXPECT_THAT(object_->Discard({0, 2}), IsOk());
}

TEST_P(DiscardTest, HeldPageIsRefusedWithItsWholeExtentAndNamed) {
  ASSERT_THAT(map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());
  auto held = map().Hold(Page(14), kPageSize, Protection::kRead);
  ASSERT_THAT(held, IsOk());
  std::optional<HeldRange> hold = *std::move(held);
  ASSERT_THAT(map().UnwireRange(Pages(10, 20), WireFlags::kUser), IsOk());

  EXPECT_THAT(Refused({4, 5}), HasSubstr("a hold is on them"));
  Refused({0, 1});

  hold.reset();
  EXPECT_THAT(object_->Discard({0, 10}), IsOk());
}

TEST_P(DiscardTest, FailureOfTheHostIsReportedAndUnblocksThePages) {
  Touch();
  VmPage* const page = *object_->FindResident(4);
  const std::string before = test_.State();
  test_.journal().FailNth(1, ENOMEM);

  EXPECT_THAT(object_->Discard({2, 6}), StatusIs(StatusCode::kResourceExhausted));

  test_.journal().FailNth(0, 0);
  EXPECT_EQ(test_.State(), before);
  EXPECT_FALSE(page->IsBlocked());
  EXPECT_TRUE(page->HasObject());
  EXPECT_EQ(Byte(4), std::byte{0xab});
  EXPECT_THAT(object_->Discard({2, 6}), IsOk());
}

TEST(DiscardSealedTest, SealedObjectIsRefused) {
  TestMap test;
  VMWIRE_ASSERT_OK_AND_ASSIGN(
      const auto object,
      VmObject::Create(test.host(),
                       {.size = 4 * kPageSize, .backing = MemoryBacking::kMemfd, .sealed = true}));

  EXPECT_THAT(object->Discard({0, 1}),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("sealed")));
}

TEST(DiscardHugetlbTest, RunThatCutsAHugePageIsInvalidArgument) {
  constexpr uint64_t kHuge = kHugePageSize / kPageSize;
  TestMap test;
  test.host().SetHugetlbPool(kHugePageSize, 3);
  const auto object = test.NewObject(3 * kHuge, MemoryBacking::kHugetlb);

  EXPECT_THAT(object->Discard({1, kHuge}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("2097152 bytes")));
  EXPECT_THAT(object->Discard({0, kHuge + 1}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(object->Discard({kHuge, 3 * kHuge}), IsOk());
}

TEST(DiscardSimulatedTest, SimulatedPagesAreFaultedAgain) {
  TestMap test;
  const auto object = test.NewObject(10, MemoryBacking::kSimulated);
  ASSERT_THAT(test.MapPages(0, 10, object), IsOk());
  ASSERT_THAT(test.map().WireRange(Pages(0, 10), WireFlags::kUser), IsOk());
  EXPECT_THAT(object->Discard({0, 1}), StatusIs(StatusCode::kFailedPrecondition));
  ASSERT_THAT(test.map().UnwireRange(Pages(0, 10), WireFlags::kUser), IsOk());

  ASSERT_THAT(object->Discard({2, 5}), IsOk());

  EXPECT_EQ(*object->FindResident(2), nullptr);
  EXPECT_NE(*object->FindResident(5), nullptr);
  ASSERT_THAT(test.map().WireRange(Pages(0, 10), WireFlags::kUser), IsOk());
  EXPECT_EQ(object->simulation()->fault_calls(), 13u);
}

}  // namespace
}  // namespace vmwire
