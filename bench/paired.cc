#include "bench/paired.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace vmwire::bench {
namespace {

// Longer than this nothing is compared.
constexpr std::chrono::seconds kMostTime{12};

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
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + kMostTime;
  Comparison result;
  result.floors.resize(floors.size());
  const size_t things = floors.size() + 1;
  for (size_t round = 0; round <= static_cast<size_t>(rounds); ++round) {  // The first warms up.
    if (round > 1 && Clock::now() > end) break;
    for (size_t i = 0; i < things; ++i) {
      const size_t thing = (round + i) % things;  // 0: ours; else the floor before it.
      const double time = thing == 0 ? ours() : floors[thing - 1]();
      if (round > 0) (thing == 0 ? result.ours : result.floors[thing - 1]).Add(time);
    }
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
