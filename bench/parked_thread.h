// A thread that has read guest memory once and now sleeps, as those of an idle machine do: while it
// is there, writers may not do without the heavy fence (thread_record.h).
//
// Invariants: the thread is registered from when this is made until it dies.
// Thread safety: none.
#ifndef VMWIRE_BENCH_PARKED_THREAD_H_
#define VMWIRE_BENCH_PARKED_THREAD_H_

#include <atomic>
#include <thread>

#include "memory/read_section.h"

namespace vmwire::bench {

class ParkedThread {
 public:
  ParkedThread() : thread_([this] { Run(); }) { state_.wait(kStarting); }
  ParkedThread(const ParkedThread&) = delete;
  ParkedThread& operator=(const ParkedThread&) = delete;
  ~ParkedThread() {
    state_.store(kStopping);
    state_.notify_all();
    thread_.join();
  }

 private:
  enum State { kStarting, kParked, kStopping };

  void Run() {
    { const ReadGuard registers; }
    state_.store(kParked);
    state_.notify_all();
    state_.wait(kParked);
  }

  std::atomic<State> state_ = kStarting;
  std::thread thread_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_PARKED_THREAD_H_
