// How the time of something short is taken: many calls between two readings of the clock, in one
// thread or in several at once; or each call by itself, where the system is called.
//
// Invariants: none.
// Thread safety: a CallTimes belongs to one thread.
#ifndef VMWIRE_BENCH_TIMING_H_
#define VMWIRE_BENCH_TIMING_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "bench/paired.h"

namespace vmwire::bench {

using Clock = std::chrono::steady_clock;

inline double NanosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

// Makes the compiler believe that `value` is used.
template <typename T>
inline void Use(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

// Nanoseconds that one of `calls` calls of body(i), one after the other, takes.
template <typename Body>
double TimeLoop(int calls, const Body& body) {
  const auto start = Clock::now();
  for (int i = 0; i < calls; ++i) body(i);
  return NanosecondsSince(start) / calls;
}

// The same in `threads` threads at once, this one among them, with body(thread, i): that of the
// slowest. They begin together, when each of them runs on a processor and has warmed up; so a loop
// that is shorter than a slice of the scheduler is seldom disturbed.
template <typename Body>
double TimeLoops(int threads, int calls, const Body& body) {
  std::atomic<int> ready = 0;
  std::vector<double> times(static_cast<size_t>(threads));
  const auto run = [&](int thread) {
    const auto own = [&](int i) { body(thread, i); };
    TimeLoop(calls, own);  // Its processor may not have the data yet.
    ready.fetch_add(1);
    while (ready.load() < threads) {
    }
    times[static_cast<size_t>(thread)] = TimeLoop(calls, own);
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  for (std::thread& other : others) other.join();
  return *std::max_element(times.begin(), times.end());
}

// Nanoseconds that one call of `body` takes.
template <typename Body>
double TimeCall(const Body& body) {
  const auto start = Clock::now();
  body();
  return NanosecondsSince(start);
}

// Calls timed one by one, many in each round.
class CallTimes {
 public:
  // The median of `calls` calls of timed(), which gives nanoseconds; all are added to samples().
  template <typename TimedCall>
  double Median(int calls, const TimedCall& timed) {
    Samples now;
    for (int i = 0; i < calls; ++i) now.Add(timed());
    for (const double time : now.values()) samples_.Add(time);
    return now.Percentile(0.5);
  }
  const Samples& samples() const { return samples_; }

 private:
  Samples samples_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_TIMING_H_
