// Random operations on a VmMap, each compared with a model that knows pages only (page_model.h):
// the code that it returns, and then the whole state.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "memory/vm_map.h"
#include "tests/memory/page_model.h"
#include "tests/support/map_fixture.h"
#include "tests/support/seed.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;

constexpr uint64_t kFirst = 4;
constexpr uint64_t kEnd = 68;
constexpr uint64_t kAbove = 72;  // Ranges are drawn from [0, kAbove).
constexpr uint64_t kBudgetPages = 30;
constexpr size_t kObjects = 3;
constexpr uint64_t kObjectPages = 24;
constexpr uint64_t kUserLimit = 30;
constexpr uint32_t kMaxWires = 3;
constexpr size_t kMaxTokens = 6;

struct LiveToken {
  WiredRange token;
  ModelPlan plan;
};
struct LiveHold {
  MappedRange token;
  ModelRange range;
};

class Round {
 public:
  Round(PinLevel level, uint64_t seed)
      : random_(seed),
        test_({.level = level,
               .budget_pages = kBudgetPages,
               .first_page = kFirst,
               .end_page = kEnd,
               .user_limit_pages = kUserLimit,
               .max_system_wires = kMaxWires}) {
    for (size_t i = 0; i < kObjects; ++i) objects_.push_back(test_.NewObject(kObjectPages));
  }

  // One operation and the comparison after it.
  void Step() {
    test_.journal().Clear();
    if (OneIn(8)) {
      constexpr int kErrors[] = {ENOMEM, EPERM, EAGAIN};
      test_.journal().FailNth(1 + Below(4), kErrors[Below(3)]);
    }
    Operate();
    test_.journal().FailNth(0, 0);
    Compare();
  }

  // How often each code came.
  const std::map<StatusCode, int>& codes() const { return codes_; }

  // Gives everything back.
  void Finish() {
    tokens_.clear();
    holds_.clear();
    const WireFlags all = WireFlags::kSystem | WireFlags::kHolesOk;
    while (map().wired_pages() > map().user_wired_pages() || AnySystemWires())
      ASSERT_THAT(map().UnwireRange(Pages(kFirst, kEnd), all), IsOk());
    ASSERT_THAT(map().Remove(Pages(kFirst, kEnd)), IsOk());
    ASSERT_THAT(map().CheckInvariants(), IsOk());
    EXPECT_EQ(map().entry_count(), 0u);
    EXPECT_EQ(test_.HostPinnedPages(), 0u);
    EXPECT_EQ(test_.budget().used(), 0u);
  }

 private:
  VmMap& map() { return test_.map(); }
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  ModelRange AnyRange() {
    const uint64_t first = Below(kAbove);
    const uint64_t longest = OneIn(4) ? kAbove : 12;
    return {first, std::min(first + 1 + Below(longest), kAbove)};
  }
  Protection AnyProtection() {
    constexpr Protection kSome[] = {Protection::kNone, Protection::kRead, Protection::kWrite,
                                    Protection::kExecute, Protection::kAll};
    return OneIn(3) ? kSome[Below(5)] : Protection::kReadWrite;
  }
  WireFlags AnyFlags() {
    WireFlags flags = static_cast<WireFlags>(Below(4));
    return OneIn(5) ? flags | WireFlags::kWrite : flags;
  }

  void Operate() {
    switch (Below(16)) {
      case 0:
      case 1:
      case 2:
        return Map();
      case 3:
        return Remove();
      case 4:
        return Protect();
      case 5:
      case 6:
        return WireToken();
      case 7:
        return DropToken();
      case 8:
      case 9:
      case 10:
        return WireRange();
      case 11:
      case 12:
        return UnwireRange();
      case 13:
        return Hold();
      default:
        return DropHold();
    }
  }

  void Map() {
    const ModelRange range = AnyRange();
    ModelPage page;
    page.object = Below(kObjects);
    // Often such that neighbours can merge; sometimes past the object's end.
    page.object_page = OneIn(2) ? range.first % kObjectPages : Below(kObjectPages);
    page.protection = AnyProtection();
    page.max_protection = OneIn(4) ? AnyProtection() : Protection::kAll;
    Expect(map().Map(Pages(range.first, range.end), objects_[page.object],
                     page.object_page * kPageSize, page.protection, page.max_protection),
           model_.PlanMap(range, page), [&] { model_.ApplyMap(range, page); });
  }
  void Remove() {
    const ModelRange range = AnyRange();
    Expect(map().Remove(Pages(range.first, range.end)), model_.PlanRemove(range),
           [&] { model_.ApplyRemove(range); });
  }
  void Protect() {
    const ModelRange range = AnyRange();
    const Protection protection = AnyProtection();
    Expect(map().Protect(Pages(range.first, range.end), protection),
           model_.PlanProtect(range, protection), [&] { model_.ApplyProtect(range, protection); });
  }

  void Hold() {
    if (holds_.size() == kMaxTokens) return DropHold();
    const ModelRange range = AnyRange();
    auto held = map().Hold(Pages(range.first, range.end));
    Expect(held.status(), model_.PlanHold(range), [&] {
      model_.ApplyHold(range, 1);
      holds_.push_back({*std::move(held), range});
    });
  }
  void DropHold() {
    if (holds_.empty()) return;
    const size_t index = Below(holds_.size());
    model_.ApplyHold(holds_[index].range, -1);
    // A move over a live token, or of the last one onto itself, drops it in another way.
    std::swap(holds_[index], holds_.back());
    holds_.pop_back();
  }

  ModelPlan PlanWire(const ModelRange& range, WireFlags flags) {
    const uint64_t room = kBudgetPages - test_.budget().used() / kPageSize;
    return model_.PlanWire(range, flags, room, [this](size_t object, uint64_t page) {
      return test_.pins().IsPinned(*objects_[object], page);
    });
  }
  // Stops a wiring now and then, and remembers that it did.
  WireProgress AnyProgress() {
    stopped_ = false;
    if (!OneIn(6)) return {};
    return [this, left = 1 + Below(3)](uint64_t done, uint64_t total) mutable {
      EXPECT_LE(done, total);
      stopped_ = --left == 0;
      return !stopped_;
    };
  }
  void WireToken() {
    if (tokens_.size() == kMaxTokens) return DropToken();
    const ModelRange range = AnyRange();
    const WireFlags flags = AnyFlags();
    const WireFlags system = static_cast<WireFlags>(static_cast<uint8_t>(flags) & 6);
    const ModelPlan plan = PlanWire(range, system);
    auto wired = map().Wire(Pages(range.first, range.end), flags, AnyProgress());
    Expect(wired.status(), plan.code, [&] {
      EXPECT_EQ(wired->wired_bytes(), plan.pages.size() * kPageSize);
      model_.ApplyToken(plan, 1);
      tokens_.push_back({*std::move(wired), plan});
    });
  }
  void DropToken() {
    if (tokens_.empty()) return;
    const size_t index = Below(tokens_.size());
    model_.ApplyToken(tokens_[index].plan, -1);
    std::swap(tokens_[index], tokens_.back());
    tokens_.pop_back();
  }
  void WireRange() {
    const ModelRange range = AnyRange();
    const WireFlags flags = AnyFlags();
    const ModelPlan plan = PlanWire(range, flags);
    Expect(map().WireRange(Pages(range.first, range.end), flags, AnyProgress()), plan.code,
           [&] { model_.ApplyWire(plan, flags); });
  }
  void UnwireRange() {
    const ModelRange range = AnyRange();
    const WireFlags flags = AnyFlags();
    const ModelPlan plan = model_.PlanUnwire(range, flags);
    Expect(map().UnwireRange(Pages(range.first, range.end), flags), plan.code,
           [&] { model_.ApplyUnwire(plan, flags); });
  }

  // Expects `code`, unless the host was made to fail or the progress function stopped the call.
  template <typename Apply>
  void Expect(const absl::Status& status, StatusCode code, Apply apply) {
    ++codes_[status.code()];
    if (std::exchange(stopped_, false)) {
      EXPECT_THAT(status, StatusIs(StatusCode::kCancelled));
    } else if (test_.journal().failed() && !status.ok()) {
      EXPECT_THAT(status.code(),
                  testing::AnyOf(code, StatusCode::kResourceExhausted, StatusCode::kUnimplemented,
                                 StatusCode::kPermissionDenied, StatusCode::kUnavailable))
          << status;
      EXPECT_NE(status.code(), StatusCode::kOk);
    } else {
      EXPECT_THAT(status, StatusIs(code));
      if (status.ok()) apply();
    }
  }

  bool AnySystemWires() {
    for (uint64_t page = kFirst; page < kEnd; ++page) {
      const VmMapEntry* entry = map().Lookup(Page(page));
      if (entry != nullptr && entry->system_wires != 0) return true;
    }
    return false;
  }

  void Compare() {
    EXPECT_THAT(map().CheckInvariants(), IsOk());
    CompareEntries();
    ComparePins();
    EXPECT_EQ(map().user_wired_pages(), model_.UserWiredPages());
    EXPECT_EQ(test_.pins().pinned_bytes(), test_.HostPinnedPages() * kPageSize);
    EXPECT_EQ(test_.budget().used(), test_.HostPinnedPages() * kPageSize);
    if (testing::Test::HasFailure()) FAIL() << map().ToString();
  }

  void CompareEntries() {
    const std::vector<ModelRange> entries = model_.Entries();
    EXPECT_EQ(map().entry_count(), entries.size());
    for (const ModelRange& range : entries) {
      const VmMapEntry* entry = map().Lookup(Page(range.first));
      ASSERT_NE(entry, nullptr) << range.first;
      const ModelPage& page = *model_.At(range.first);
      EXPECT_EQ(entry->range, Pages(range.first, range.end));
      EXPECT_EQ(entry->object, objects_[page.object]);
      EXPECT_EQ(entry->offset, page.object_page * kPageSize);
      EXPECT_EQ(entry->protection, page.protection);
      EXPECT_EQ(entry->max_protection, page.max_protection);
      EXPECT_EQ(entry->system_wires, page.system_wires());
      EXPECT_EQ(entry->token_wires, page.token_wires);
      EXPECT_EQ(entry->user_wired, page.user_wired);
      EXPECT_EQ(entry->holds, page.holds);
    }
  }

  void ComparePins() {
    for (size_t i = 0; i < kObjects; ++i) {
      const VmObject& object = *objects_[i];
      const std::vector<bool> in_host = test_.host().PinnedPages(object.host_range());
      bool any_pinned = false;
      bool any_wired = false;
      for (uint64_t page = 0; page < kObjectPages; ++page) {
        const uint32_t wires = model_.WireCount(i, page);
        const bool pinned = test_.pins().IsPinned(object, page);
        EXPECT_EQ(test_.pins().WireCount(object, page), wires) << i << " page " << page;
        EXPECT_EQ(in_host[page], pinned) << i << " page " << page;
        EXPECT_TRUE(pinned || wires == 0) << i << " page " << page;
        any_pinned |= pinned;
        any_wired |= wires != 0;
      }
      EXPECT_EQ(any_pinned, any_wired) << i;
    }
  }

  std::mt19937_64 random_;
  TestMap test_;
  std::vector<std::shared_ptr<VmObject>> objects_;
  PageModel model_{{.first_page = kFirst,
                    .end_page = kEnd,
                    .object_pages = kObjectPages,
                    .user_limit_pages = kUserLimit,
                    .max_system_wires = kMaxWires}};
  std::vector<LiveToken> tokens_;
  std::vector<LiveHold> holds_;
  bool stopped_ = false;
  std::map<StatusCode, int> codes_;
};

class VmMapOracleTest : public testing::TestWithParam<PinLevel> {};

INSTANTIATE_TEST_SUITE_P(Levels, VmMapOracleTest,
                         testing::Values(PinLevel::kResident, PinLevel::kPinned),
                         LevelName<testing::TestParamInfo<PinLevel>>);

TEST_P(VmMapOracleTest, RandomOperationsAgreeWithAModelOfPages) {
  constexpr int kRounds = 70;
  constexpr int kSteps = 1500;
  const uint64_t seed = TestSeed();
  std::map<StatusCode, int> codes;
  for (int i = 0; i < kRounds; ++i) {
    Round round(GetParam(), seed + static_cast<uint64_t>(i));
    for (int step = 0; step < kSteps; ++step) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " round " << i << " step " << step);
      round.Step();
      if (HasFatalFailure()) return round.Finish();
    }
    round.Finish();
    for (const auto& [code, count] : round.codes()) codes[code] += count;
  }
  // The operations drawn reach every outcome, and often.
  for (const StatusCode code :
       {StatusCode::kOk, StatusCode::kNotFound, StatusCode::kPermissionDenied,
        StatusCode::kResourceExhausted, StatusCode::kFailedPrecondition, StatusCode::kOutOfRange,
        StatusCode::kAlreadyExists, StatusCode::kCancelled}) {
    EXPECT_GE(codes[code], 100) << absl::StatusCodeToString(code);
  }
}

}  // namespace
}  // namespace vmwire
