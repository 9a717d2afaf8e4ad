// The table of bars: a row each, which begins with the number of its bar.
//
// Invariants: every row is written out at once, so that a run that is stopped has shown what it
// took.
// Thread safety: none.
#ifndef VMWIRE_BENCH_REPORT_H_
#define VMWIRE_BENCH_REPORT_H_

#include <limits>
#include <string>

#include "absl/status/status.h"
#include "bench/paired.h"
#include "bench/timing.h"

namespace vmwire::bench {

// Of a row that says what something costs, and is not judged.
inline constexpr double kNoBar = std::numeric_limits<double>::infinity();

struct Row {
  const char* number;  // "P1"
  std::string what;
  double bar;        // The ratio of ours to the floor up to which it is met; or kNoBar.
  std::string note;  // A peer's figure, or what else is to be known.
};

void PrintHeader();

// The median and the ratio of loops: of single calls nothing is known.
void PrintLoops(const Row& row, const Comparison& result);
// The same with the 99th percentiles, each sample being a call (the slowest, if there are few).
void PrintCalls(const Row& row, const Comparison& result);
// The same for samples that are medians of calls; `ours` and `floor` are the calls.
void PrintCalls(const Row& row, const Comparison& result, const CallTimes& ours,
                const CallTimes& floor);
// The same with the tails given: of `result` the medians and the ratio are taken.
void PrintTails(const Row& row, const Comparison& result, const Samples& ours,
                const Samples& floor);
// A figure that is judged by itself: met up to `limit` nanoseconds.
void PrintTime(const Row& row, double nanoseconds, double floor, double limit);
// What the host lacks must not keep the other rows from being measured.
void PrintNotMeasured(const Row& row, const absl::Status& why);

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_REPORT_H_
