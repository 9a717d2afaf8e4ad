// The scheduler of tests/support itself: it must find known bugs, and nothing in what is right.
#include "tests/support/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "memory/mutex.h"

namespace vmwire {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kAll = 1000;  // Preemptions that bound nothing.

struct Counter {
  Mutex mutex;
  int value ABSL_GUARDED_BY(mutex) = 0;
};

// Two threads add one, each in two critical sections: a read and a write.
Scenario LostUpdate() {
  auto counter = std::make_shared<Counter>();
  const auto add = [counter] {
    int value = 0;
    {
      const MutexLock lock(counter->mutex);
      value = counter->value;
    }
    SchedulePoint("between read and write");
    const MutexLock lock(counter->mutex);
    counter->value = value + 1;
  };
  Scenario scenario;
  scenario.AddThread("a", add);
  scenario.AddThread("b", add);
  scenario.check = [counter] {
    const MutexLock lock(counter->mutex);
    EXPECT_EQ(counter->value, 2);
  };
  return scenario;
}

Scenario CorrectUpdate() {
  auto counter = std::make_shared<Counter>();
  const auto add = [counter] {
    const MutexLock lock(counter->mutex);
    const int value = counter->value;
    SchedulePoint("between read and write");
    counter->value = value + 1;
  };
  Scenario scenario;
  scenario.AddThread("a", add);
  scenario.AddThread("b", add);
  scenario.check = [counter] {
    const MutexLock lock(counter->mutex);
    EXPECT_EQ(counter->value, 2);
  };
  return scenario;
}

// The second thread locks in the order of the first, or the other way round.
MakeScenario TwoLocks(bool in_one_order) {
  return [in_one_order] {
    struct State {
      Mutex first;
      Mutex second;
    };
    auto state = std::make_shared<State>();
    Scenario scenario;
    scenario.AddThread("a", [state] {
      const MutexLock first(state->first);
      const MutexLock second(state->second);
    });
    scenario.AddThread("b", [state, in_one_order] {
      const MutexLock first(in_one_order ? state->first : state->second);
      const MutexLock second(in_one_order ? state->second : state->first);
    });
    return scenario;
  };
}

struct Event {
  Mutex mutex;
  Condition condition;
  bool set ABSL_GUARDED_BY(mutex) = false;

  bool IsSet() {
    const MutexLock lock(mutex);
    return set;
  }
  void Set() {
    const MutexLock lock(mutex);
    set = true;
    condition.NotifyAll();
  }
};

// The waiter looks at the flag in another critical section than it sleeps in.
Scenario LostWakeup() {
  auto event = std::make_shared<Event>();
  Scenario scenario;
  scenario.AddThread("waiter", [event] {
    if (event->IsSet()) return;
    const MutexLock lock(event->mutex);
    event->condition.Wait(event->mutex, std::nullopt);
  });
  scenario.AddThread("setter", [event] { event->Set(); });
  return scenario;
}

Scenario CorrectWakeup() {
  auto event = std::make_shared<Event>();
  Scenario scenario;
  scenario.AddThread("waiter", [event] {
    const MutexLock lock(event->mutex);
    while (!event->set) event->condition.Wait(event->mutex, std::nullopt);
  });
  scenario.AddThread("setter", [event] { event->Set(); });
  return scenario;
}

// A waiter with a deadline that is far away, which is told in time if there is a setter.
MakeScenario WaitInTime(bool with_setter) {
  return [with_setter] {
    auto event = std::make_shared<Event>();
    Scenario scenario;
    scenario.AddThread("waiter", [event, with_setter] {
      const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
      const MutexLock lock(event->mutex);
      bool in_time = true;
      while (!event->set && in_time) in_time = event->condition.Wait(event->mutex, deadline);
      EXPECT_EQ(in_time, with_setter);
    });
    if (with_setter) scenario.AddThread("setter", [event] { event->Set(); });
    return scenario;
  };
}

TEST(SchedulerTest, FindsALostUpdate) {
  const ScheduleReport report = ExploreSchedules({}, LostUpdate);
  EXPECT_THAT(report.failure, HasSubstr("counter->value"));
  EXPECT_THAT(report.steps, HasSubstr("a: goes on at \"between read and write\""));
}

TEST(SchedulerTest, FindsNothingInACorrectUpdate) {
  const ScheduleReport report = ExploreSchedules({.preemptions = kAll}, CorrectUpdate);
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(SchedulerTest, FindsALostUpdateOnlyWithAPreemption) {
  const ScheduleReport report = ExploreSchedules({.preemptions = 0}, LostUpdate);
  EXPECT_TRUE(report.Passed()) << report;
  EXPECT_EQ(report.schedules, 2u);
}

TEST(SchedulerTest, FindsALostWakeup) {
  const ScheduleReport report = ExploreSchedules({}, LostWakeup);
  EXPECT_THAT(report.failure, HasSubstr("deadlock:\n  waiter waits for condition 1\n"));
}

TEST(SchedulerTest, FindsNothingInACorrectWakeup) {
  const ScheduleReport report = ExploreSchedules({.preemptions = kAll}, CorrectWakeup);
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(SchedulerTest, FindsTheDeadlockOfTwoLocksInOppositeOrders) {
  const ScheduleReport report = ExploreSchedules({}, TwoLocks(/*in_one_order=*/false));
  EXPECT_THAT(report.failure, AllOf(HasSubstr("a waits for mutex 2, which b holds"),
                                    HasSubstr("b waits for mutex 1, which a holds")));
}

TEST(SchedulerTest, FindsNoDeadlockOfTwoLocksInOneOrder) {
  const ScheduleReport report =
      ExploreSchedules({.preemptions = kAll}, TwoLocks(/*in_one_order=*/true));
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(SchedulerTest, FindsALockTakenTwice) {
  const ScheduleReport report = ExploreSchedules({}, [] {
    auto mutex = std::make_shared<Mutex>();
    Scenario scenario;
    scenario.AddThread("a", [mutex]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const MutexLock once(*mutex);
      const MutexLock twice(*mutex);
    });
    return scenario;
  });
  EXPECT_THAT(report.failure, HasSubstr("a waits for mutex 1, which a holds"));
}

TEST(SchedulerTest, FindsAMutexLeftLocked) {
  const ScheduleReport report = ExploreSchedules({}, [] {
    auto mutex = std::make_shared<Mutex>();
    Scenario scenario;
    scenario.AddThread("a", [mutex]() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex->Lock(); });
    return scenario;
  });
  EXPECT_EQ(report.failure, "a ended and holds mutex 1\n");
}

TEST(SchedulerTest, ReportsAnExceptionOfAThread) {
  const ScheduleReport report = ExploreSchedules({}, [] {
    Scenario scenario;
    scenario.AddThread("a", [] { throw std::runtime_error("a bug"); });
    return scenario;
  });
  EXPECT_EQ(report.failure, "a threw: a bug\n");
}

TEST(SchedulerTest, ReportsAFailedExpectationOfAThreadWithItsSchedule) {
  const ScheduleReport report = ExploreSchedules({}, [] {
    auto event = std::make_shared<Event>();
    Scenario scenario;
    scenario.AddThread("reader", [event] { EXPECT_TRUE(event->IsSet()); });
    scenario.AddThread("setter", [event] { event->Set(); });
    return scenario;
  });
  EXPECT_THAT(report.failure, HasSubstr("event->IsSet()"));
  EXPECT_EQ(report.schedules, 1u);
  EXPECT_THAT(testing::PrintToString(report), HasSubstr("1 schedules, then a failure:"));
}

TEST(SchedulerTest, ReportsAnExceptionOfTheMakingAndOfTheCheck) {
  const ScheduleReport making =
      ExploreSchedules({}, []() -> Scenario { throw std::runtime_error("nothing to make"); });
  const ScheduleReport check = ExploreSchedules({}, [] {
    Scenario scenario;
    scenario.check = [] { throw std::runtime_error("nothing to check"); };
    return scenario;
  });
  EXPECT_EQ(making.failure, "the making of the scenario threw: nothing to make\n");
  EXPECT_EQ(check.failure, "the check threw: nothing to check\n");
}

TEST(SchedulerTest, ReplayRepeatsTheFailure) {
  for (const MakeScenario& make : {MakeScenario(LostUpdate), MakeScenario(LostWakeup),
                                   MakeScenario(TwoLocks(/*in_one_order=*/false))}) {
    const ScheduleReport found = ExploreSchedules({}, make);
    const ScheduleReport replayed = ReplaySchedule({}, found.schedule, make);
    EXPECT_EQ(replayed.schedules, 1u);
    EXPECT_EQ(replayed.failure, found.failure);
    EXPECT_EQ(replayed.schedule, found.schedule);
    EXPECT_EQ(replayed.steps, found.steps);
  }
}

TEST(SchedulerTest, ReplayOfAnotherScheduleDoesNotFail) {
  const ScheduleReport report = ReplaySchedule({}, "00", LostUpdate);
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(SchedulerTest, ReplayOfAScheduleThatDoesNotFitFails) {
  EXPECT_THAT(ReplaySchedule({}, "07", LostUpdate).failure,
              HasSubstr("after the choices \"0\" there was a choice of \"7\" before"));
}

TEST(SchedulerTest, ReplayOfAScheduleThatIsTooLongFails) {
  EXPECT_THAT(ReplaySchedule({}, "00000000", CorrectUpdate).failure,
              HasSubstr("there was a choice of \"more\" before, and of \"nothing\" now"));
}

TEST(SchedulerTest, AThreadThatNeverEndsFails) {
  const ScheduleReport report = ExploreSchedules({.max_steps = 100}, [] {
    Scenario scenario;
    scenario.AddThread("a", [] {
      while (true) SchedulePoint("again");
    });
    return scenario;
  });
  EXPECT_EQ(report.failure, "the threads did not end within 100 steps\n");
}

TEST(SchedulerTest, AWaitTimesOutIfNobodyElseCanRun) {
  const ScheduleReport report = ExploreSchedules({}, WaitInTime(/*with_setter=*/false));
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(SchedulerTest, AWaitDoesNotTimeOutWhileAnotherCanRun) {
  const ScheduleReport report =
      ExploreSchedules({.preemptions = kAll}, WaitInTime(/*with_setter=*/true));
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(SchedulerTest, AnEarlyTimeoutIsFoundAndReplayed) {
  const MakeScenario make = WaitInTime(/*with_setter=*/true);
  const ScheduleReport found = ExploreSchedules({.early_timeouts = 1}, make);
  EXPECT_THAT(found.failure, HasSubstr("in_time"));
  EXPECT_THAT(found.schedule, HasSubstr("a"));
  EXPECT_EQ(ReplaySchedule({}, found.schedule, make).steps, found.steps);
}

TEST(SchedulerTest, AStallEndsOnlyAfterAllThatTheOthersCanDo) {
  const ScheduleReport report = ExploreSchedules({.preemptions = kAll}, [] {
    auto event = std::make_shared<Event>();
    Scenario scenario;
    scenario.AddThread("staller", [event] {
      ScheduleStall("the setter's turn");
      EXPECT_TRUE(event->IsSet());
    });
    scenario.AddThread("setter", [event] {
      SchedulePoint("first");
      event->Set();
    });
    return scenario;
  });
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(SchedulerTest, OutsideOfAScenarioAPointDoesNothing) {
  SchedulePoint("nowhere");
  ScheduleStall("nowhere");
}

TEST(SchedulerTest, AfterAnExplorationLocksAreRealAgain) {
  EXPECT_TRUE(ExploreSchedules({}, CorrectUpdate).Passed());
  EXPECT_EQ(SyncHooks::Installed(), nullptr);
}

TEST(SchedulerDeathTest, AThreadThatSleepsElsewhereEndsTheProcessWithItsSchedule) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto make = [] {
    Scenario scenario;
    scenario.AddThread("sleeper", [] { std::this_thread::sleep_for(std::chrono::hours(1)); });
    return scenario;
  };
  EXPECT_DEATH(ExploreSchedules({.stuck_after = std::chrono::seconds(1)}, make),
               "stuck: sleeper sleeps on what is no Mutex");
}

}  // namespace
}  // namespace vmwire
