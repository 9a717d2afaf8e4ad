#include "memory/range_counts.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_format.h"
#include "memory/check.h"

namespace vmwire {

RangeCounts::Runs::const_iterator RangeCounts::FirstEndingAfter(uint64_t page) const {
  auto it = runs_.upper_bound(page);
  if (it != runs_.begin() && std::prev(it)->second.end > page) --it;
  return it;
}

uint32_t RangeCounts::CountOf(uint64_t page) const {
  const auto it = FirstEndingAfter(page);
  return it != runs_.end() && it->first <= page ? it->second.count : 0;
}

uint32_t RangeCounts::MaxIn(const PageRun& run) const {
  uint32_t max = 0;
  for (auto it = FirstEndingAfter(run.first); it != runs_.end() && it->first < run.end; ++it) {
    max = std::max(max, it->second.count);
  }
  return max;
}

void RangeCounts::ForEachWithCount(const PageRun& run, uint32_t count,
                                   const std::function<void(const PageRun&)>& visit) const {
  uint64_t page = run.first;
  for (auto it = FirstEndingAfter(page); page < run.end; ++it) {
    const bool more = it != runs_.end() && it->first < run.end;
    const uint64_t gap_end = more ? std::max(it->first, page) : run.end;
    if (count == 0 && page < gap_end) visit({page, gap_end});
    if (!more) return;
    const uint64_t end = std::min(it->second.end, run.end);
    if (it->second.count == count) visit({gap_end, end});
    page = end;
  }
}

void RangeCounts::Increment(const PageRun& run) {
  SplitAt(run.first);
  SplitAt(run.end);
  uint64_t page = run.first;
  auto it = runs_.lower_bound(page);
  while (page < run.end) {
    if (it == runs_.end() || it->first > page) {
      const uint64_t end = it == runs_.end() ? run.end : std::min(it->first, run.end);
      runs_.emplace_hint(it, page, Value{end, 1});
      page = end;
    } else {
      VMWIRE_CHECK(it->second.count != UINT32_MAX, "a page count wraps");
      ++it->second.count;
      page = it->second.end;
      ++it;
    }
  }
  JoinAround(run);
}

void RangeCounts::Decrement(const PageRun& run) {
  SplitAt(run.first);
  SplitAt(run.end);
  uint64_t page = run.first;
  auto it = runs_.lower_bound(page);
  while (page < run.end) {
    VMWIRE_CHECK(it != runs_.end() && it->first == page,
                 absl::StrFormat("page 0x%x is not counted", page));
    page = it->second.end;
    it = --it->second.count == 0 ? runs_.erase(it) : std::next(it);
  }
  JoinAround(run);
}

void RangeCounts::SplitAt(uint64_t page) {
  auto it = runs_.lower_bound(page);
  if (it == runs_.begin()) return;
  --it;
  Value& before = it->second;
  if (before.end <= page) return;
  runs_.emplace(page, before);
  before.end = page;
}

void RangeCounts::JoinWithPrevious(Runs::iterator it) {
  if (it == runs_.begin() || it == runs_.end()) return;
  const auto previous = std::prev(it);
  if (previous->second.end != it->first || previous->second.count != it->second.count) return;
  previous->second.end = it->second.end;
  runs_.erase(it);
}

void RangeCounts::JoinAround(const PageRun& run) {
  auto it = runs_.lower_bound(run.first);
  while (it != runs_.end() && it->first <= run.end) {
    const auto next = std::next(it);
    JoinWithPrevious(it);
    it = next;
  }
}

}  // namespace vmwire
