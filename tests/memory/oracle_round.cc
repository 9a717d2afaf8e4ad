#include "tests/memory/oracle_round.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "tests/memory/oracle_limits.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using oracle::kAbove;
using oracle::kBudgetPages;
using oracle::kEnd;
using oracle::kFirst;
using oracle::kMaxHolds;
using oracle::kMaxTokens;
using oracle::kObjectPages;
using oracle::kObjects;
using oracle::kUserLimit;

GuestRange ToRange(const ModelRange& range) { return Pages(range.first, range.end); }

}  // namespace

OracleRound::OracleRound(const Options& options, uint64_t seed)
    : options_(options),
      random_(seed),
      test_({.level = options.level,
             .budget_pages = kBudgetPages,
             .first_page = kFirst,
             .end_page = kEnd,
             .user_limit_pages = kUserLimit,
             .max_system_wires = oracle::kMaxWires,
             .cache_pages = options.cache ? oracle::kCachePages : 0}),
      model_({.first_page = kFirst,
              .end_page = kEnd,
              .object_pages = kObjectPages,
              .user_limit_pages = kUserLimit,
              .max_system_wires = oracle::kMaxWires}) {
  for (size_t i = 0; i < kObjects; ++i) objects_.push_back(test_.NewObject(kObjectPages));
}

void OracleRound::Step() {
  test_.journal().Clear();
  if (OneIn(8)) {
    constexpr int kErrors[] = {ENOMEM, EPERM, EAGAIN};
    test_.journal().FailNth(1 + Below(4), kErrors[Below(3)]);
  }
  Operate();
  test_.journal().FailNth(0, 0);
  Compare();
}

ModelRange OracleRound::AnyRange() {
  const uint64_t first = Below(kAbove);
  const uint64_t longest = OneIn(4) ? kAbove : 12;
  return {first, std::min(first + 1 + Below(longest), kAbove)};
}

Protection OracleRound::AnyProtection() {
  constexpr Protection kSome[] = {Protection::kNone, Protection::kRead, Protection::kWrite,
                                  Protection::kExecute, Protection::kAll};
  return OneIn(3) ? kSome[Below(5)] : Protection::kReadWrite;
}

WireFlags OracleRound::AnyFlags() {
  const WireFlags flags = static_cast<WireFlags>(Below(4));
  return OneIn(5) ? flags | WireFlags::kWrite : flags;
}

ModelRange OracleRound::RangeToHold() {
  uint64_t first = Below(kAbove);
  if (!OneIn(4)) {
    const auto wired = [this](uint64_t page) {
      return model_.At(page) != nullptr && model_.At(page)->IsWired();
    };
    while (first < kEnd && !wired(first)) ++first;
  }
  return {first, first + 1 + Below(6)};
}

WireProgress OracleRound::AnyProgress() {
  stopped_ = false;
  if (!OneIn(4)) return {};
  return [this, left = 1 + Below(2)](uint64_t done, uint64_t total) mutable {
    // What the cache gives up meanwhile has to be pinned, too.
    EXPECT_TRUE(done <= total || options_.cache) << done << " of " << total;
    stopped_ = --left == 0;
    return !stopped_;
  };
}

void OracleRound::Operate() {
  using Operation = void (OracleRound::*)();
  using R = OracleRound;
  constexpr Operation kOperations[] = {
      &R::Map,       &R::Map,       &R::Map,       &R::Guard,       &R::Remove,
      &R::Remove,    &R::Protect,   &R::Clip,      &R::WireToken,   &R::WireToken,
      &R::DropToken, &R::WireRange, &R::WireRange, &R::WireRange,   &R::UnwireRange,
      &R::Keep,      &R::DropKeep,  &R::DropKeep,  &R::UnwireRange, &R::RemoveWait,
      &R::Hold,      &R::Hold,      &R::DropHold,  &R::Discard,     &R::Set};
  (this->*kOperations[Below(std::size(kOperations))])();
}

void OracleRound::Map() {
  const ModelRange range = AnyRange();
  ModelPage page;
  page.object = Below(kObjects);
  // Often such that neighbours can merge; sometimes past the object's end.
  page.object_page = OneIn(2) ? range.first % kObjectPages : Below(kObjectPages);
  page.protection = AnyProtection();
  page.max_protection = OneIn(4) ? AnyProtection() : Protection::kAll;
  WirePlan planned{{.code = model_.PlanMap(range, page), .pages = {}}};
  if (wire_future_ && planned.plan.code == StatusCode::kOk) {
    PageModel mapped = model_;
    mapped.ApplyMap(range, page);
    planned = PlanWithin(range, mapped, WireFlags::kUser, [&](uint64_t room, const auto& pinned) {
      return model_.PlanMapFuture(range, page, room, pinned);
    });
  }
  const absl::Status status =
      map().Map(ToRange(range), objects_[page.object], page.object_page * kPageSize,
                page.protection, page.max_protection);
  Expect(
      status, planned.plan.code,
      [&] {
        if (wire_future_) return model_.ApplyMapFuture(range, page);
        model_.ApplyMap(range, page);
      },
      planned.may_exhaust);
}

void OracleRound::Guard() {
  ModelRange range = AnyRange();
  range.end = std::min(range.end, range.first + 3);
  const ModelPage guard{.guard = true};
  Expect(map().MapGuard(ToRange(range)), model_.PlanMap(range, guard),
         [&] { model_.ApplyMap(range, guard); });
}

void OracleRound::Remove() {
  const ModelRange range = AnyRange();
  Expect(map().Remove(ToRange(range)), model_.PlanRemove(range),
         [&] { model_.ApplyRemove(range); });
}

// With a deadline that has passed it removes what Remove does, and else gives up at once.
void OracleRound::RemoveWait() {
  const ModelRange range = AnyRange();
  const StatusCode planned = model_.PlanRemove(range);
  Expect(map().RemoveWait(ToRange(range), {.deadline = std::chrono::steady_clock::now()}),
         planned == StatusCode::kOk ? planned : StatusCode::kDeadlineExceeded,
         [&] { model_.ApplyRemove(range); });
}

void OracleRound::Protect() {
  const ModelRange range = AnyRange();
  const Protection protection = AnyProtection();
  Expect(map().Protect(ToRange(range), protection), model_.PlanProtect(range, protection),
         [&] { model_.ApplyProtect(range, protection); });
}

void OracleRound::Clip() {
  const uint64_t page = Below(kAbove);
  Expect(map().Clip(Page(page)), StatusCode::kOk, [&] { model_.ApplyClip(page); });
}

template <typename Plan>
OracleRound::WirePlan OracleRound::PlanWithin(const ModelRange& range, const PageModel& model,
                                              WireFlags flags, Plan plan) {
  // At best, all that is cached makes room but what the wiring itself needs of it. At worst, what
  // it needs a part of stays whole.
  uint64_t cached = 0;
  uint64_t evictable = 0;
  std::vector<bool> needed(kObjects * kObjectPages);
  for (uint64_t at = range.first; at < range.end; ++at) {
    const ModelPage* page = model.At(at);
    if (page != nullptr && !page->guard && page->object_page < kObjectPages)
      needed[page->object * kObjectPages + page->object_page] = true;
  }
  for (size_t object = 0; object < kObjects; ++object) {
    for (const Extent& extent : Extents(object)) {
      if (extent.state != PinExtent::State::kCached) continue;
      const auto first = needed.begin() + static_cast<ptrdiff_t>(object * kObjectPages);
      const bool overlaps = std::any_of(first + static_cast<ptrdiff_t>(extent.run.first),
                                        first + static_cast<ptrdiff_t>(extent.run.end),
                                        [](bool page) { return page; });
      cached += extent.run.end - extent.run.first;
      if (!extent.held && !overlaps) evictable += extent.run.end - extent.run.first;
    }
  }
  const uint64_t used = test_.budget().used() / kPageSize;
  const auto pinned_at_best = [this](size_t object, uint64_t page) {
    return IsPinned(object, page, /*by_cache_too=*/false);
  };
  const auto pinned_at_worst = [this](size_t object, uint64_t page) {
    return IsPinned(object, page, /*by_cache_too=*/true);
  };
  WirePlan planned{plan(kBudgetPages - (used - cached), pinned_at_best)};
  planned.may_exhaust =
      options_.cache &&
      !model.Fits(range, flags, kBudgetPages - (used - evictable), pinned_at_worst);
  return planned;
}

OracleRound::WirePlan OracleRound::PlanWire(const ModelRange& range, WireFlags flags) {
  return PlanWithin(range, model_, flags, [&](uint64_t room, const auto& pinned) {
    return model_.PlanWire(range, flags, room, pinned);
  });
}

void OracleRound::WireToken() {
  if (tokens_.size() == kMaxTokens) return DropToken();
  const ModelRange range = AnyRange();
  const WireFlags flags = AnyFlags();
  const WireFlags system = static_cast<WireFlags>(static_cast<uint8_t>(flags) & 6);
  const auto [plan, may_exhaust] = PlanWire(range, system);
  WireReport report;
  auto wired = map().Wire(ToRange(range), flags, {.progress = AnyProgress(), .report = &report});
  ExpectReport(report, wired.status(), plan);
  Expect(
      wired.status(), plan.code,
      [&, &plan = plan] {
        EXPECT_EQ(wired->wired_bytes(), plan.pages.size() * kPageSize);
        model_.ApplyToken(range, plan);
        tokens_.push_back({*std::move(wired), plan});
      },
      may_exhaust);
}

void OracleRound::DropToken() {
  if (tokens_.empty()) return;
  const size_t index = Below(tokens_.size());
  model_.ApplyTokenDeath(tokens_[index].plan);
  // A move over a live token, or of the last one onto itself, drops it in another way.
  std::swap(tokens_[index], tokens_.back());
  tokens_.pop_back();
}

void OracleRound::WireRange() {
  const ModelRange range = AnyRange();
  const WireFlags flags = AnyFlags();
  const auto [plan, may_exhaust] = PlanWire(range, flags);
  WireReport report;
  const absl::Status status =
      map().WireRange(ToRange(range), flags, {.progress = AnyProgress(), .report = &report});
  ExpectReport(report, status, plan);
  Expect(
      status, plan.code, [&, &plan = plan] { model_.ApplyWire(range, plan, flags); }, may_exhaust);
}

void OracleRound::UnwireRange() {
  const ModelRange range = AnyRange();
  const WireFlags flags = AnyFlags();
  const ModelPlan plan = model_.PlanUnwire(range, flags);
  Expect(map().UnwireRange(ToRange(range), flags), plan.code,
         [&] { model_.ApplyUnwire(range, plan, flags); });
}

void OracleRound::Keep() {
  if (kept_.size() == kMaxTokens) return DropKeep();
  const ModelRange range = AnyRange();
  auto kept = map().KeepMapped(ToRange(range));
  Expect(kept.status(), model_.PlanKeep(range), [&] {
    model_.ApplyKeep(range, 1);
    kept_.push_back({*std::move(kept), range});
  });
}

void OracleRound::DropKeep() {
  if (kept_.empty()) return;
  const size_t index = Below(kept_.size());
  model_.ApplyKeep(kept_[index].range, -1);
  std::swap(kept_[index], kept_.back());
  kept_.pop_back();
}

void OracleRound::Hold() {
  if (holds_.size() == kMaxHolds) return DropHold();
  const ModelRange range = RangeToHold();
  const Protection access = OneIn(3) ? Protection::kReadWrite : Protection::kRead;
  // Some bytes of the first page and of the last are left out.
  const uint64_t before = Below(kPageSize / 2);
  const uint64_t size = (range.end - range.first) * kPageSize - before - Below(kPageSize / 2);
  auto held = map().Hold(GuestAddress(range.first * kPageSize + before), size, access);
  Expect(held.status(), model_.PlanHold(range, access), [&] {
    const ModelPage& page = *model_.At(range.first);
    EXPECT_EQ(held->bytes().data(), HostPointer(objects_[page.object]->host_range().start()) +
                                        page.object_page * kPageSize + before);
    EXPECT_EQ(held->bytes().size(), size);
    model_.ApplyHold(range, 1);
    holds_.push_back({*std::move(held), range});
  });
}

void OracleRound::DropHold() {
  if (holds_.empty()) return;
  const size_t index = Below(holds_.size());
  model_.ApplyHold(holds_[index].range, -1);
  std::swap(holds_[index], holds_.back());
  holds_.pop_back();
}

void OracleRound::Discard() {
  const size_t object = Below(kObjects);
  const uint64_t first = Below(kObjectPages + 1);
  const ModelRange run{first, first + Below(6)};
  // Cached extents are let go of first, unless they are held.
  const StatusCode code = model_.PlanDiscard(object, run, [this](size_t of, uint64_t page) {
    const std::vector<Extent> extents = Extents(of);
    return std::any_of(extents.begin(), extents.end(), [page](const Extent& extent) {
      return extent.run.first <= page && page < extent.run.end &&
             (extent.held || extent.state != PinExtent::State::kCached);
    });
  });
  Expect(objects_[object]->Discard({run.first, run.end}), code, [&] {
    for (uint64_t page = run.first; page < run.end; ++page)
      EXPECT_EQ(*objects_[object]->FindResident(page), nullptr) << page;
  });
}

void OracleRound::Set() {
  switch (Below(3)) {
    case 0:
      wire_future_ = OneIn(3);
      return map().SetWireFuture(wire_future_);
    case 1: {
      const uint64_t limit = OneIn(2) ? kUserLimit : Below(2 * kUserLimit);
      model_.SetUserLimit(limit);
      return map().SetUserWireLimit(limit);
    }
    default:
      return OneIn(4) ? test_.pins().DropCache() : test_.pins().Reclaim(kPageSize);
  }
}

template <typename Apply>
void OracleRound::Expect(const absl::Status& status, StatusCode code, Apply apply,
                         bool may_exhaust) {
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
    const bool exhausted = may_exhaust && status.code() == StatusCode::kResourceExhausted;
    EXPECT_TRUE(exhausted || status.code() == code) << status << ", expected " << code;
    if (status.ok() && code == StatusCode::kOk) apply();
  }
}

}  // namespace vmwire
