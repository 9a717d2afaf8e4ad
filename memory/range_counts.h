// A count for each page of an object, kept as runs of equal count: what a per-page array would
// hold, at a cost that follows the number of ranges and not the number of pages.
//
// Invariants: runs are disjoint, not empty, and never count 0; neighbours that touch have different
// counts.
// Thread safety: thread-compatible.
#ifndef VMWIRE_MEMORY_RANGE_COUNTS_H_
#define VMWIRE_MEMORY_RANGE_COUNTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "memory/page_run.h"

namespace vmwire {

class RangeCounts {
 public:
  bool empty() const { return runs_.empty(); }

  uint32_t CountOf(uint64_t page) const;

  // The highest count of any page in `run`; 0 if it is empty.
  uint32_t MaxIn(const PageRun& run) const;

  // Calls `visit` with each maximal piece of `run` whose pages all have `count`, ascending.
  void ForEachWithCount(const PageRun& run, uint32_t count,
                        const std::function<void(const PageRun&)>& visit) const;

  // Adds 1 to each page. REQUIRES: MaxIn(run) < UINT32_MAX.
  void Increment(const PageRun& run);

  // Takes 1 from each page. REQUIRES: no page of `run` has count 0.
  void Decrement(const PageRun& run);

 private:
  struct Value {
    uint64_t end;
    uint32_t count;
  };
  using Runs = std::map<uint64_t, Value>;

  // The first run that ends after `page`.
  Runs::const_iterator FirstEndingAfter(uint64_t page) const;
  // Makes `page` a boundary between runs, if it lies inside one.
  void SplitAt(uint64_t page);
  // Joins the run at `it` with the one before, if they touch and count the same.
  void JoinWithPrevious(Runs::iterator it);
  void JoinAround(const PageRun& run);

  Runs runs_;  // By first page.
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_RANGE_COUNTS_H_
