#include "bench/report.h"

#include <cstdio>

namespace vmwire::bench {
namespace {

struct Line {
  std::string number, what, ours, ours_p99, floor, floor_p99, ratio, bar, verdict, note;
};

std::string Decimals(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

void Print(const Line& line) {
  std::printf("%-4s %-56s %9s %9s %9s %9s %7s %6s  %s%s%s\n", line.number.c_str(),
              line.what.c_str(), line.ours.c_str(), line.ours_p99.c_str(), line.floor.c_str(),
              line.floor_p99.c_str(), line.ratio.c_str(), line.bar.c_str(), line.verdict.c_str(),
              line.note.empty() ? "" : "; ", line.note.c_str());
  std::fflush(stdout);
}

std::string Verdict(double ratio, double bar) {
  if (bar == kNoBar) return "no bar";
  return ratio <= bar ? "met" : "missed";
}

Line LineOf(const Row& row, const Comparison& result) {
  const double ratio = result.Ratio();
  return {.number = row.number,
          .what = row.what,
          .ours = FormatNanoseconds(result.ours.Percentile(0.5)),
          .ours_p99 = "",
          .floor = FormatNanoseconds(result.BestFloor().Percentile(0.5)),
          .floor_p99 = "",
          .ratio = Decimals(ratio, 3),
          .bar = row.bar == kNoBar ? "" : Decimals(row.bar, 2),
          .verdict = Verdict(ratio, row.bar),
          .note = row.note};
}

}  // namespace

void PrintHeader() {
  Print({.number = "bar",
         .what = "what",
         .ours = "vmwire",
         .ours_p99 = "p99",
         .floor = "floor",
         .floor_p99 = "p99",
         .ratio = "ratio",
         .bar = "bar",
         .verdict = "",
         .note = ""});
}

void PrintLoops(const Row& row, const Comparison& result) { Print(LineOf(row, result)); }

void PrintTails(const Row& row, const Comparison& result, const Samples& ours,
                const Samples& floor) {
  Line line = LineOf(row, result);
  line.ours_p99 = FormatNanoseconds(ours.Percentile(0.99));
  line.floor_p99 = FormatNanoseconds(floor.Percentile(0.99));
  Print(line);
}

void PrintCalls(const Row& row, const Comparison& result) {
  PrintTails(row, result, result.ours, result.BestFloor());
}

void PrintCalls(const Row& row, const Comparison& result, const CallTimes& ours,
                const CallTimes& floor) {
  PrintTails(row, result, ours.samples(), floor.samples());
}

void PrintTime(const Row& row, double nanoseconds, double floor, double limit) {
  Print({.number = row.number,
         .what = row.what,
         .ours = FormatNanoseconds(nanoseconds),
         .ours_p99 = "",
         .floor = FormatNanoseconds(floor),
         .floor_p99 = "",
         .ratio = "",
         .bar = FormatNanoseconds(limit),
         .verdict = nanoseconds <= limit ? "met" : "missed",
         .note = row.note});
}

void PrintNotMeasured(const Row& row, const absl::Status& why) {
  std::printf("%-4s %-56s not measured: %s\n", row.number, row.what.c_str(),
              why.ToString().c_str());
  std::fflush(stdout);
}

}  // namespace vmwire::bench
