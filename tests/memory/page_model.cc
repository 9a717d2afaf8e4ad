#include "tests/memory/page_model.h"

#include <algorithm>
#include <set>
#include <utility>

namespace vmwire {
namespace {

using absl::StatusCode;

bool IsWirable(const ModelPage& page, WireFlags flags) {
  const bool accessible =
      Allows(page.protection, Protection::kRead) || Allows(page.protection, Protection::kExecute);
  return !page.guard && accessible &&
         (!Has(flags, WireFlags::kWrite) || Allows(page.protection, Protection::kWrite));
}

}  // namespace

PageModel::PageModel(const Options& options)
    : options_(options), pages_(options.end_page - options.first_page) {}

const ModelPage* PageModel::At(uint64_t page) const {
  if (page < options_.first_page || page >= options_.end_page) return nullptr;
  const std::optional<ModelPage>& found = pages_[page - options_.first_page];
  return found.has_value() ? &*found : nullptr;
}

ModelPage* PageModel::MutableAt(uint64_t page) {
  return const_cast<ModelPage*>(static_cast<const PageModel*>(this)->At(page));
}

uint64_t PageModel::UserWiredPages() const {
  return static_cast<uint64_t>(std::count_if(pages_.begin(), pages_.end(), [](const auto& page) {
    return page.has_value() && page->user_wired;
  }));
}

std::vector<uint32_t> PageModel::WireCounts(size_t object) const {
  std::vector<uint32_t> counts(options_.object_pages);
  for (const auto& page : pages_) {
    if (page.has_value() && !page->guard && page->object == object && page->IsWired()) {
      ++counts[page->object_page];
    }
  }
  return counts;
}

std::vector<bool> PageModel::Held(size_t object) const {
  std::vector<bool> held(options_.object_pages);
  for (const auto& page : pages_) {
    if (page.has_value() && page->object == object && page->holds != 0) {
      held[page->object_page] = true;
    }
  }
  return held;
}

bool PageModel::CanMerge(uint64_t page) const {
  const ModelPage* low = At(page);
  const ModelPage* high = At(page + 1);
  if (low == nullptr || high == nullptr || low->guard != high->guard) return false;
  const bool continues =
      low->guard || (low->object == high->object && low->object_page + 1 == high->object_page);
  return continues && low->protection == high->protection &&
         low->max_protection == high->max_protection && low->raw_wires == high->raw_wires &&
         low->token_wires == high->token_wires && low->user_wired == high->user_wired &&
         low->mapped_tokens == high->mapped_tokens && !high->cut_below;
}

uint64_t PageModel::RunEnd(uint64_t page, uint64_t end) const {
  while (page + 1 < end && CanMerge(page)) ++page;
  return page + 1;
}

std::vector<ModelRange> PageModel::Entries() const {
  std::vector<ModelRange> entries;
  for (uint64_t page = options_.first_page; page < options_.end_page;) {
    if (At(page) == nullptr) {
      ++page;
      continue;
    }
    entries.push_back({page, RunEnd(page, options_.end_page)});
    page = entries.back().end;
  }
  return entries;
}

ModelRange PageModel::Clamp(const ModelRange& range) const {
  return {std::max(range.first, options_.first_page), std::min(range.end, options_.end_page)};
}

StatusCode PageModel::PlanMap(const ModelRange& range, const ModelPage& first) const {
  if (range.first < options_.first_page || range.end > options_.end_page)
    return StatusCode::kOutOfRange;
  if (!Allows(first.max_protection, first.protection)) return StatusCode::kPermissionDenied;
  for (uint64_t page = range.first; page < range.end; ++page) {
    if (At(page) != nullptr) return StatusCode::kAlreadyExists;
  }
  return StatusCode::kOk;
}

void PageModel::ApplyMap(const ModelRange& range, const ModelPage& first) {
  for (uint64_t page = range.first; page < range.end; ++page) {
    ModelPage copy = first;
    copy.object_page += page - range.first;
    pages_[page - options_.first_page] = copy;
  }
}

ModelPlan PageModel::PlanMapFuture(const ModelRange& range, const ModelPage& first, uint64_t room,
                                   const IsPinned& pinned) const {
  const StatusCode code = PlanMap(range, first);
  if (code != StatusCode::kOk) return {.code = code, .pages = {}};
  PageModel mapped = *this;
  mapped.ApplyMap(range, first);
  return mapped.PlanWire(range, WireFlags::kUser, room, pinned);
}

void PageModel::ApplyMapFuture(const ModelRange& range, const ModelPage& first) {
  ModelPage wired = first;
  wired.user_wired = true;
  ApplyMap(range, wired);
  ForgetCuts(range);
}

void PageModel::ForgetCuts(const ModelRange& range) {
  const ModelRange clamped = Clamp(range);
  if (clamped.first >= clamped.end) return;
  for (uint64_t page = clamped.first; page <= clamped.end; ++page) {
    if (ModelPage* found = MutableAt(page); found != nullptr) found->cut_below = false;
  }
}

StatusCode PageModel::PlanRemove(const ModelRange& range) const {
  for (uint64_t page = range.first; page < range.end; ++page) {
    const ModelPage* found = At(page);
    if (found != nullptr &&
        (found->system_wires() != 0 || found->mapped_tokens != 0 || found->holds != 0)) {
      return StatusCode::kFailedPrecondition;
    }
  }
  return StatusCode::kOk;
}

void PageModel::ApplyRemove(const ModelRange& range) {
  const ModelRange clamped = Clamp(range);
  for (uint64_t page = clamped.first; page < clamped.end; ++page)
    pages_[page - options_.first_page].reset();
}

StatusCode PageModel::PlanProtect(const ModelRange& range, Protection protection) const {
  for (uint64_t page = range.first; page < range.end; ++page) {
    const ModelPage* found = At(page);
    if (found != nullptr && !found->guard && !Allows(found->max_protection, protection))
      return StatusCode::kPermissionDenied;
  }
  return StatusCode::kOk;
}

void PageModel::ApplyProtect(const ModelRange& range, Protection protection) {
  for (uint64_t page = range.first; page < range.end; ++page) {
    ModelPage* found = MutableAt(page);
    if (found != nullptr && !found->guard) found->protection = protection;
  }
}

void PageModel::ApplyClip(uint64_t page) {
  if (page > options_.first_page && CanMerge(page - 1)) MutableAt(page)->cut_below = true;
}

StatusCode PageModel::PlanKeep(const ModelRange& range) const {
  for (uint64_t page = range.first; page < range.end; ++page) {
    if (At(page) == nullptr) return StatusCode::kNotFound;
  }
  return StatusCode::kOk;
}

void PageModel::ApplyKeep(const ModelRange& range, int delta) {
  for (uint64_t page = range.first; page < range.end; ++page)
    MutableAt(page)->mapped_tokens += static_cast<uint32_t>(delta);
}

StatusCode PageModel::PlanHold(const ModelRange& range, Protection access) const {
  if (const StatusCode holes = PlanKeep(range); holes != StatusCode::kOk) return holes;
  for (uint64_t page = range.first; page < range.end; ++page) {
    const ModelPage& found = *At(page);
    if (found.guard || !Allows(found.protection, access)) return StatusCode::kPermissionDenied;
    if (!found.IsWired()) return StatusCode::kFailedPrecondition;
    if (page == range.first) continue;
    const ModelPage& low = *At(page - 1);
    if (low.object != found.object || low.object_page + 1 != found.object_page)
      return StatusCode::kOutOfRange;
  }
  return StatusCode::kOk;
}

void PageModel::ApplyHold(const ModelRange& range, int delta) {
  for (uint64_t page = range.first; page < range.end; ++page)
    MutableAt(page)->holds += static_cast<uint32_t>(delta);
}

StatusCode PageModel::PlanDiscard(size_t object, const ModelRange& run,
                                  const IsPinned& pinned) const {
  if (run.first > run.end || run.end > options_.object_pages) return StatusCode::kOutOfRange;
  const std::vector<bool> held = Held(object);
  for (uint64_t page = run.first; page < run.end; ++page) {
    if (held[page] || pinned(object, page)) return StatusCode::kFailedPrecondition;
  }
  return StatusCode::kOk;
}

bool PageModel::Fits(const ModelRange& range, WireFlags flags, uint64_t room,
                     const IsPinned& pinned) const {
  std::set<std::pair<size_t, uint64_t>> to_pin;
  uint64_t to_charge = 0;
  for (uint64_t page = range.first; page < range.end; ++page) {
    const ModelPage* found = At(page);
    if (found == nullptr || !IsWirable(*found, flags)) continue;
    if (Has(flags, WireFlags::kUser) && !found->user_wired) ++to_charge;
    if (found->IsWired()) continue;
    if (!pinned(found->object, found->object_page))
      to_pin.emplace(found->object, found->object_page);
  }
  const uint64_t user_pages = UserWiredPages();
  const bool charged = to_charge == 0 || user_pages + to_charge <= options_.user_limit_pages;
  return to_pin.size() <= room && charged;
}

StatusCode PageModel::CheckRun(const ModelRange& run, WireFlags flags, uint64_t user_pages) const {
  const ModelPage& page = *At(run.first);
  if (!Has(flags, WireFlags::kUser)) {
    if (page.system_wires() >= options_.max_system_wires) return StatusCode::kResourceExhausted;
  } else if (!page.user_wired && user_pages + run.end - run.first > options_.user_limit_pages) {
    return StatusCode::kResourceExhausted;
  }
  const bool past_end = page.object_page + (run.end - run.first) > options_.object_pages;
  return !page.IsWired() && past_end ? StatusCode::kOutOfRange : StatusCode::kOk;
}

ModelPlan PageModel::PlanWire(const ModelRange& range, WireFlags flags, uint64_t room,
                              const IsPinned& pinned) const {
  const bool holes_ok = Has(flags, WireFlags::kHolesOk);
  const ModelRange clamped = Clamp(range);
  if (clamped.first >= clamped.end)
    return {.code = holes_ok ? StatusCode::kOk : StatusCode::kNotFound, .pages = {}};
  const ModelPage* start = At(clamped.first);
  const bool wirable = start != nullptr && IsWirable(*start, flags);
  const bool past_end = wirable && !start->IsWired() &&
                        start->object_page + RunEnd(clamped.first, clamped.end) - clamped.first >
                            options_.object_pages;
  const bool obstacle = (!holes_ok && !wirable) || past_end;
  if (!obstacle && !Fits(clamped, flags, room, pinned))
    return {.code = StatusCode::kResourceExhausted, .pages = {}};

  ModelPlan plan;
  for (uint64_t page = clamped.first; page < clamped.end;) {
    const ModelPage* found = At(page);
    if (found == nullptr) {
      if (!holes_ok) return {.code = StatusCode::kNotFound, .pages = {}};
      ++plan.skipped;
      ++page;
      continue;
    }
    const ModelRange run = {page, RunEnd(page, clamped.end)};
    page = run.end;
    if (!IsWirable(*found, flags)) {
      if (!holes_ok) return {.code = StatusCode::kPermissionDenied, .pages = {}};
      plan.skipped += run.end - run.first;
      continue;
    }
    const StatusCode code = CheckRun(run, flags, UserWiredPages() + plan.pages.size());
    if (code != StatusCode::kOk) return {.code = code, .pages = {}};
    plan.wired += run.end - run.first;
    if (Has(flags, WireFlags::kUser) && found->user_wired) continue;
    for (uint64_t wired = run.first; wired < run.end; ++wired) plan.pages.push_back(wired);
  }
  return plan;
}

ModelPlan PageModel::PlanUnwire(const ModelRange& range, WireFlags flags) const {
  const bool holes_ok = Has(flags, WireFlags::kHolesOk);
  const bool user = Has(flags, WireFlags::kUser);
  const ModelRange clamped = Clamp(range);
  if (clamped.first >= clamped.end)
    return {.code = holes_ok ? StatusCode::kOk : StatusCode::kNotFound, .pages = {}};
  ModelPlan plan;
  for (uint64_t page = clamped.first; page < clamped.end; ++page) {
    const ModelPage* found = At(page);
    if (found == nullptr) {
      if (!holes_ok) return {.code = StatusCode::kNotFound, .pages = {}};
    } else if (user ? found->user_wired : found->raw_wires != 0) {
      plan.pages.push_back(page);
    } else if (!user && !holes_ok) {
      // A gap behind the entry is met before the wiring that it lacks.
      const uint64_t end = RunEnd(page, options_.end_page);
      const bool gap = end < clamped.end && At(end) == nullptr;
      return {.code = gap ? StatusCode::kNotFound : StatusCode::kFailedPrecondition, .pages = {}};
    }
  }
  return plan;
}

void PageModel::ApplyWire(const ModelRange& range, const ModelPlan& plan, WireFlags flags) {
  for (const uint64_t page : plan.pages) {
    if (Has(flags, WireFlags::kUser)) {
      MutableAt(page)->user_wired = true;
    } else {
      ++MutableAt(page)->raw_wires;
    }
  }
  ForgetCuts(range);
}

void PageModel::ApplyUnwire(const ModelRange& range, const ModelPlan& plan, WireFlags flags) {
  for (const uint64_t page : plan.pages) {
    if (Has(flags, WireFlags::kUser)) {
      MutableAt(page)->user_wired = false;
    } else {
      --MutableAt(page)->raw_wires;
    }
  }
  ForgetCuts(range);
}

void PageModel::ApplyToken(const ModelRange& range, const ModelPlan& plan) {
  for (const uint64_t page : plan.pages) ++MutableAt(page)->token_wires;
  ForgetCuts(range);
}

void PageModel::ApplyTokenDeath(const ModelPlan& plan) {
  for (const uint64_t page : plan.pages) {
    --MutableAt(page)->token_wires;
    ForgetCuts({page, page + 1});
  }
}

}  // namespace vmwire
