// Runs a small scenario of two to eight threads under every schedule (of a bounded number of
// preemptions), one thread at a time, and finds the one that fails. It takes over all Mutexes and
// Conditions of the process meanwhile.
//
//   ScheduleReport report = ExploreSchedules({}, [] {
//     struct State { Mutex mutex; WaitQueue queue; bool ready ABSL_GUARDED_BY(mutex) = false; };
//     auto state = std::make_shared<State>();
//     Scenario scenario;
//     scenario.AddThread("waiter", [state] {
//       const MutexLock lock(state->mutex);
//       while (!state->ready) {
//         EXPECT_THAT(state->queue.Wait(state->mutex, {}, "waiting to be ready"), IsOk());
//       }
//     });
//     scenario.AddThread("waker", [state] {
//       SchedulePoint("a host call");
//       const MutexLock lock(state->mutex);
//       state->ready = true;
//       state->queue.WakeAll();
//     });
//     scenario.check = [state] { EXPECT_TRUE(state->queue.empty()); };
//     return scenario;
//   });
//   EXPECT_TRUE(report.Passed()) << report;
//
// Threads change only before a Mutex::Lock, a Condition::Wait or NotifyAll, a SchedulePoint, and
// the start of a thread; after an Unlock nothing is chosen, since what follows it up to the next
// such point touches nothing shared, or has a SchedulePoint. So put one at each host call of a fake
// and each access to an atomic that matters.
//
// A failure is: an EXPECT or an exception in a thread, the check or the making; a deadlock (which a
// lost wake-up is, too); a mutex that outlives its thread's end; too many steps. The first one ends
// the search, and its schedule can be replayed.
//
// A wait with a deadline times out when no thread can run: time is not measured. So give deadlines
// that are far away, and let ScheduleOptions::early_timeouts find the races of a time-out.
//
// The scenario is made anew for each schedule and must depend on nothing else. Once before the
// search it runs uncounted, so that what the process makes lazily is there.
//
// Since the baton orders all that the threads do, ThreadSanitizer finds no data race in a scenario:
// for those there are tests with threads that run freely.
//
// After a deadlock its threads sleep for ever, and what they use is never freed: let the threads
// own it (a shared_ptr, as above), not the test's stack.
//
// Invariants: at most one thread of a scenario runs. Code outside of those threads may use locks
// only while none of them does: in the making and in the check.
// Thread safety: one exploration at a time in a process. Nothing in a scenario may start threads
// that use locks, spin for another thread, or sleep other than on a Condition (as the end of a
// std::stop_callback does while that runs; see WaitQueue): the process ends with the schedule if
// nothing happens for ScheduleOptions::stuck_after.
#ifndef VMWIRE_TESTS_SUPPORT_SCHEDULER_H_
#define VMWIRE_TESTS_SUPPORT_SCHEDULER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace vmwire {

inline constexpr std::size_t kMaxScenarioThreads = 8;

// One run's threads, with the state they share.
struct Scenario {
  struct Thread {
    std::string name;
    std::function<void()> body;
  };
  // At most kMaxScenarioThreads.
  void AddThread(std::string name, std::function<void()> body) {
    threads.push_back({std::move(name), std::move(body)});
  }

  std::vector<Thread> threads;
  std::function<void()> check;  // Runs after all threads ended; may be empty.
};

using MakeScenario = std::function<Scenario()>;

struct ScheduleOptions {
  // How often in a schedule a thread that could go on has to let another one run. A change at the
  // end or the block of a thread is free.
  int preemptions = 2;
  // How often in a schedule a wait may time out though a thread can run.
  int early_timeouts = 0;
  // The search gives up after so many; the report says so.
  std::uint64_t max_schedules = 100'000;
  // Steps of a schedule that are taken for "it never ends".
  std::size_t max_steps = 10'000;
  std::chrono::seconds stuck_after{30};
};

struct ScheduleReport {
  // Neither a failure nor a schedule left out.
  bool Passed() const { return failure.empty() && !capped; }

  std::uint64_t schedules = 0;  // That ran, the failing one included.
  bool capped = false;          // max_schedules came before the end of the search.
  std::string failure;          // What failed; empty: nothing.
  std::string schedule;         // The failing one, for ReplaySchedule.
  std::string steps;            // What it did, a line each.
};

std::ostream& operator<<(std::ostream& out, const ScheduleReport& report);

// Runs `make`'s scenario under each schedule within `options`.
// REQUIRES: no lock is held, and no other thread uses one.
ScheduleReport ExploreSchedules(const ScheduleOptions& options, const MakeScenario& make);

// Runs it once, as `schedule` says (of a ScheduleReport), whatever the bounds of `options`. A
// choice of it that the scenario does not have is a failure. REQUIRES: as ExploreSchedules.
ScheduleReport ReplaySchedule(const ScheduleOptions& options, const std::string& schedule,
                              const MakeScenario& make);

// A place where another thread may run. Does nothing outside of the threads of a scenario.
// `name` is for the report. REQUIRES: it lives as long as the process: a literal.
void SchedulePoint(const char* name);

// A barrier: as SchedulePoint, but the thread goes on only when no other one can run, or early at
// the cost of one of ScheduleOptions::early_timeouts. So whatever the schedule, all that the others
// can do is done.
void ScheduleStall(const char* name);

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_SCHEDULER_H_
