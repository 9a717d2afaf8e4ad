// Wirings at the limits of counts and sizes, and of pin levels that differ.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>

#include "memory/page_array.h"
#include "memory/vm_map.h"
#include "tests/support/map_fixture.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

constexpr WireFlags kSystem = WireFlags::kSystem;
constexpr uint64_t kHugePages = PageArray::kMaxPages;  // 2^40.

// Expects that `call` fails with `code`, promptly.
template <typename Call>
void ExpectPromptly(StatusCode code, Call call) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(call(), StatusIs(code));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(CountLimitTest, B25EntryAtTheMaximumIsNotWiredFurtherAndCanBeUnwired) {
  TestMap test;
  test.Add(10, 20);
  ASSERT_THAT(test.map().WireRange(Pages(10, 20), kSystem), IsOk());
  test.map().ForceSystemWiresForTesting(Page(10), kMaxWireCount);
  const std::string before = test.State();

  for (const GuestRange& range : {Pages(10, 20), Pages(12, 14)}) {
    EXPECT_THAT(test.map().WireRange(range, kSystem),
                StatusIs(StatusCode::kResourceExhausted, HasSubstr("1073741823 wirings")));
    EXPECT_THAT(test.map().Wire(range), StatusIs(StatusCode::kResourceExhausted));
  }

  EXPECT_EQ(test.State(), before);
  EXPECT_THAT(test.map().WireRange(Pages(10, 20), WireFlags::kUser), IsOk());
  EXPECT_THAT(test.map().UnwireRange(Pages(10, 20), kSystem), IsOk());
  EXPECT_EQ(test.map().Lookup(Page(10))->system_wires, kMaxWireCount - 1);
  EXPECT_THAT(test.map().WireRange(Pages(10, 20), kSystem), IsOk());
  test.map().ForceSystemWiresForTesting(Page(10), 1);
  EXPECT_THAT(test.map().UnwireRange(Pages(10, 20), kSystem), IsOk());
}

TEST(CountLimitTest, PageAtTheMaximumUndoesWhatWasWiredBeforeIt) {
  TestMap test;
  const auto object = test.Add(10, 20);
  ASSERT_THAT(test.MapPages(30, 40, object), IsOk());
  ASSERT_THAT(test.map().WireRange(Pages(15, 16), WireFlags::kUser), IsOk());
  VmPage& page = *object->pages().Find(5);
  page.ForceWireCountForTesting(kMaxWireCount);
  const std::string before = test.State();

  EXPECT_THAT(test.map().WireRange(Pages(30, 40), kSystem),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("page 0x5 of the object")));

  EXPECT_EQ(test.State(), before);
  EXPECT_EQ(object->pages().WireCount(4), 0u);
  EXPECT_EQ(object->pages().WireCount(5), kMaxWireCount);
  page.ForceWireCountForTesting(1);
}

TEST(CountLimitTest, UserWiredPagesAtTheirMaximumDoNotWrap) {
  TestMap test;
  test.Add(10, 20);
  test.map().AddUserWiredPagesForTesting(UINT64_MAX - 5);

  EXPECT_THAT(test.map().WireRange(Pages(10, 20), WireFlags::kUser),
              StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(test.map().WireRange(Pages(10, 15), WireFlags::kUser), IsOk());

  EXPECT_EQ(test.map().user_wired_pages(), UINT64_MAX);
  ASSERT_THAT(test.map().UnwireRange(Pages(10, 15), WireFlags::kUser), IsOk());
  test.map().AddUserWiredPagesForTesting(6);
  EXPECT_EQ(test.map().user_wired_pages(), 0u);
}

// 2^40 pages, of which nothing may be faulted in, counted or even looked at one by one.
class HugeRequestTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_THAT(test_.MapPages(0, kHugePages, object_), IsOk()); }
  void TearDown() override { EXPECT_EQ(object_->simulation()->fault_calls(), 0u); }
  VmMap& map() { return test_.map(); }
  // Expects that `call` is refused for want of a limit, promptly, and changes nothing.
  template <typename Call>
  void ExpectRefused(Call call) {
    const std::string before = test_.State();
    ExpectPromptly(StatusCode::kResourceExhausted, call);
    EXPECT_EQ(test_.State(), before);
  }

  TestMap test_{{.budget_pages = 256, .end_page = kHugePages}};
  const std::shared_ptr<VmObject> object_ = test_.NewObject(kHugePages, MemoryBacking::kSimulated);
};

TEST_F(HugeRequestTest, BudgetRefusesItAtOnce) {
  WireReport report;

  ExpectRefused(
      [&] { return map().WireRange(Pages(0, kHugePages), kSystem, {.report = &report}); });

  EXPECT_EQ(report.failure, WireFailure::kLimit);
  EXPECT_EQ(report.needed, kHugePages);
  EXPECT_LT(report.available, report.needed);
}

TEST_F(HugeRequestTest, BudgetRefusesATokenAndOneWithHolesToo) {
  ExpectRefused([&] { return map().Wire(Pages(0, kHugePages)).status(); });
  ExpectRefused(
      [&] { return map().WireRange(Pages(0, kHugePages), kSystem | WireFlags::kHolesOk); });
}

TEST_F(HugeRequestTest, UserLimitRefusesItAtOnce) {
  map().SetUserWireLimit(1000);
  ExpectRefused([&] { return map().WireRange(Pages(0, kHugePages), WireFlags::kUser); });
}

TEST_F(HugeRequestTest, WireFutureRefusesItAtOnce) {
  ASSERT_THAT(map().Remove(Pages(0, kHugePages)), IsOk());
  map().SetWireFuture(true);
  ExpectRefused([&] { return test_.MapPages(0, kHugePages, object_); });
}

TEST_F(HugeRequestTest, OtherOperationsOverItArePrompt) {
  ExpectPromptly(StatusCode::kFailedPrecondition,
                 [&] { return map().UnwireRange(Pages(0, kHugePages), kSystem); });
  ExpectPromptly(StatusCode::kOk,
                 [&] { return map().Protect(Pages(0, kHugePages), Protection::kRead); });
  ExpectPromptly(StatusCode::kFailedPrecondition, [&] {
    return map().Hold(Page(0), kHugePages * kPageSize, Protection::kRead).status();
  });
  ExpectPromptly(StatusCode::kOk, [&] { return map().Remove(Pages(1, kHugePages)); });
}

// Two tables of different levels, each for a map of its own, on one object.
class TwoLevelsTest : public testing::TestWithParam<std::tuple<PinLevel, PinLevel>> {
 protected:
  bool Covered() {
    const auto [first, second] = GetParam();
    return first == second || first == PinLevel::kGuarded;
  }
  absl::Status Wire(PinTable& table, uint64_t first, uint64_t end) {
    PinRequest request;
    return table.Wire(*object_, {first, end}, request);
  }

  TestMap test_{{.level = std::get<0>(GetParam())}};
  const std::shared_ptr<VmObject> object_ = test_.NewObject(10);
  const std::unique_ptr<Pinner> pinner_ = MakePinner(std::get<1>(GetParam()), test_.host());
  WireBudget budget_{{}};
  PinTable other_{*pinner_, budget_};
};

INSTANTIATE_TEST_SUITE_P(
    , TwoLevelsTest,
    testing::Combine(testing::Values(PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded),
                     testing::Values(PinLevel::kResident, PinLevel::kPinned, PinLevel::kGuarded)),
    [](const auto& info) {
      return ToString(std::get<0>(info.param)) + "_then_" + ToString(std::get<1>(info.param));
    });

TEST_P(TwoLevelsTest, PagesPinnedAtALowerLevelAreRefusedNamingBoth) {
  ASSERT_THAT(Wire(test_.pins(), 4, 6), IsOk());
  const std::string before = test_.State();

  const absl::Status wired = Wire(other_, 2, 8);

  if (!Covered()) {
    EXPECT_THAT(wired,
                StatusIs(StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(ToString(test_.pins().level())),
                               HasSubstr(ToString(other_.level())), HasSubstr("[0x4, 0x6)"))));
    EXPECT_EQ(test_.State(), before);
    EXPECT_EQ(other_.pinned_bytes(), 0u);
  } else {
    ASSERT_THAT(wired, IsOk());
    EXPECT_EQ(other_.pinned_bytes(), 4 * kPageSize) << "what the first has not pinned";
    EXPECT_EQ(object_->pages().WireCount(4), 2u);
    PinTable::Unwire(*object_, {2, 8});
  }
  PinTable::Unwire(*object_, {4, 6});
  EXPECT_EQ(budget_.used(), 0u);
}

TEST_P(TwoLevelsTest, EachTableLetsGoOfWhatItPinned) {
  ASSERT_THAT(Wire(test_.pins(), 0, 5), IsOk());
  ASSERT_THAT(Wire(other_, 5, 10), IsOk());
  EXPECT_EQ(test_.budget().used(), 5 * kPageSize);
  EXPECT_EQ(budget_.used(), 5 * kPageSize);

  PinTable::Unwire(*object_, {0, 10});

  EXPECT_EQ(test_.budget().used(), 0u);
  EXPECT_EQ(budget_.used(), 0u);
  EXPECT_EQ(test_.host().locked_bytes(), 0u);
  EXPECT_EQ(test_.host().buffer_bytes(), 0u);
}

TEST_P(TwoLevelsTest, PagesThatTheFirstLetGoOfCanBePinnedByTheSecond) {
  ASSERT_THAT(Wire(test_.pins(), 0, 5), IsOk());
  PinTable::Unwire(*object_, {0, 5});

  ASSERT_THAT(Wire(other_, 0, 5), IsOk());

  EXPECT_EQ(object_->last_table(), &other_);
  PinTable::Unwire(*object_, {0, 5});
}

TEST_P(TwoLevelsTest, MapSaysThatItIsAPinError) {
  ASSERT_THAT(Wire(test_.pins(), 4, 6), IsOk());
  {
    VmMap map(other_, {});
    ASSERT_THAT(map.Map(Pages(0, 10), object_, 0, Protection::kRead), IsOk());
    WireReport report;

    const absl::Status wired = map.WireRange(Pages(0, 10), WireFlags::kUser, {.report = &report});

    EXPECT_EQ(wired.ok(), Covered());
    if (!Covered()) {
      EXPECT_EQ(report.failure, WireFailure::kPinError);
      EXPECT_EQ(report.failed_at, Page(4));
    }
  }
  PinTable::Unwire(*object_, {4, 6});
}

}  // namespace
}  // namespace vmwire
