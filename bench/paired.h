// Ours and its floors timed in turn, A B A B ..., after a warm-up: so that drift of a noisy machine
// hits all of them, and their ratio holds where no absolute figure would.
//
// Invariants: in a Comparison each thing has as many samples as there were rounds, in the order of
// the rounds.
// Thread safety: none.
#ifndef VMWIRE_BENCH_PAIRED_H_
#define VMWIRE_BENCH_PAIRED_H_

#include <functional>
#include <string>
#include <vector>

namespace vmwire::bench {

// Runs the thing once and says how long the part that counts took, in nanoseconds.
using Timed = std::function<double()>;

// The samples of one thing, in nanoseconds.
class Samples {
 public:
  void Add(double nanoseconds) { values_.push_back(nanoseconds); }
  // The sample at the fraction `p` (0.5: the median) of the sorted ones. REQUIRES: there is one.
  double Percentile(double p) const;
  size_t size() const { return values_.size(); }
  const std::vector<double>& values() const { return values_; }

 private:
  std::vector<double> values_;
};

struct Comparison {
  Samples ours;
  std::vector<Samples> floors;  // In the order given.

  // The median over the rounds of ours / the fastest floor of that round.
  double Ratio() const;
  // The floor with the lowest median.
  const Samples& BestFloor() const;
};

// Times `ours` and each of `floors` once in each round; one more round goes before, and is not
// counted. Each round begins with the next of them, so that none always comes first. After some
// seconds, and one round at least, no further round is begun.
// REQUIRES: rounds > 0, at least one floor.
Comparison Compare(int rounds, const Timed& ours, const std::vector<Timed>& floors);

// "217 ms", "8.1 us"
std::string FormatNanoseconds(double nanoseconds);

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_PAIRED_H_
