#include "bench/paired.h"

#include <algorithm>
#include <cstdio>

namespace vmwire::bench {
namespace {

double SortedPercentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  const auto index = static_cast<size_t>(p * static_cast<double>(values.size() - 1) + 0.5);
  return values[std::min(index, values.size() - 1)];
}

}  // namespace

double Samples::Percentile(double p) const { return SortedPercentile(values_, p); }

double Comparison::Ratio() const {
  std::vector<double> ratios;
  for (size_t round = 0; round < ours.size(); ++round) {
    double fastest = floors.front().values()[round];
    for (const Samples& floor : floors) fastest = std::min(fastest, floor.values()[round]);
    ratios.push_back(ours.values()[round] / fastest);
  }
  return SortedPercentile(ratios, 0.5);
}

const Samples& Comparison::BestFloor() const {
  return *std::min_element(floors.begin(), floors.end(), [](const Samples& a, const Samples& b) {
    return a.Percentile(0.5) < b.Percentile(0.5);
  });
}

Comparison Compare(int rounds, const Timed& ours, const std::vector<Timed>& floors) {
  Comparison result;
  result.floors.resize(floors.size());
  const size_t things = floors.size() + 1;
  const size_t runs = things * static_cast<size_t>(rounds + 1);  // The first round warms up.
  for (size_t run = 0; run < runs; ++run) {
    const size_t round = run / things;
    const size_t thing = (round + run) % things;  // 0: ours; else the floor before it.
    const double time = thing == 0 ? ours() : floors[thing - 1]();
    if (round > 0) (thing == 0 ? result.ours : result.floors[thing - 1]).Add(time);
  }
  return result;
}

std::string FormatNanoseconds(double nanoseconds) {
  const char* const units[] = {"ns", "us", "ms", "s"};
  size_t unit = 0;
  while (nanoseconds >= 1000 && unit < 3) {
    nanoseconds /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, nanoseconds < 10 ? "%.2f %s" : "%.1f %s", nanoseconds,
                units[unit]);
  return text;
}

}  // namespace vmwire::bench
