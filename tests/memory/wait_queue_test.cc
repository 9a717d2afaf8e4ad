#include "memory/wait_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "memory/mutex.h"
#include "tests/support/scheduler.h"
#include "tests/support/status_matchers.h"

namespace vmwire {
namespace {

using absl::StatusCode;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

// A door that threads wait for, on a WaitQueue.
class Door {
 public:
  ~Door() {
    const MutexLock lock(mutex_);
    EXPECT_TRUE(queue_.empty());
  }

  void Open() {
    const MutexLock lock(mutex_);
    open_ = true;
    queue_.WakeAll();
  }
  // Wakes all for nothing.
  void Rattle() {
    const MutexLock lock(mutex_);
    queue_.WakeAll();
  }
  absl::Status WaitUntilOpen(const WaitLimits& limits) {
    const MutexLock lock(mutex_);
    while (!open_) {
      const absl::Status status = queue_.Wait(mutex_, limits, "waiting for the door");
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  // One wait, whatever the door.
  absl::Status WaitOnce(const WaitLimits& limits) {
    const MutexLock lock(mutex_);
    return queue_.Wait(mutex_, limits, "waiting for the door");
  }
  bool SomebodyWaits() {
    const MutexLock lock(mutex_);
    return !queue_.empty();
  }
  void AwaitWaiter() {
    while (!SomebodyWaits()) std::this_thread::yield();
  }

 private:
  Mutex mutex_;
  WaitQueue queue_ ABSL_GUARDED_BY(mutex_);
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

Deadline In(steady_clock::duration time) { return steady_clock::now() + time; }

TEST(WaitLimitsTest, WithoutLimitsTheCheckIsOk) {
  EXPECT_THAT(WaitLimits().Check("waiting"), IsOk());
}

TEST(WaitLimitsTest, AfterTheDeadlineTheCheckSaysWhatWasGivenUp) {
  EXPECT_THAT((WaitLimits{.deadline = In(-milliseconds(1))}.Check("waiting for a page")),
              StatusIs(StatusCode::kDeadlineExceeded, HasSubstr("waiting for a page")));
}

TEST(WaitLimitsTest, AfterAStopTheCheckIsCancelled) {
  std::stop_source source;
  source.request_stop();
  EXPECT_THAT((WaitLimits{.stop = source.get_token()}.Check("waiting for a page")),
              StatusIs(StatusCode::kCancelled, HasSubstr("waiting for a page")));
}

TEST(WaitQueueTest, NobodyWaitsAtFirst) {
  Door door;
  EXPECT_FALSE(door.SomebodyWaits());
}

TEST(WaitQueueTest, ToWakeNobodyIsFine) {
  Door door;
  door.Rattle();
}

TEST(WaitQueueTest, AWakeUpEndsTheWaitOfEachThread) {
  Door door;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&door] { EXPECT_THAT(door.WaitUntilOpen({}), IsOk()); });
  }
  door.AwaitWaiter();
  door.Open();
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(WaitQueueTest, TheDeadlineEndsTheWait) {
  Door door;
  const Deadline deadline = In(milliseconds(20));
  EXPECT_THAT(door.WaitUntilOpen({.deadline = deadline}),
              StatusIs(StatusCode::kDeadlineExceeded, HasSubstr("waiting for the door")));
  EXPECT_GE(steady_clock::now(), *deadline);
  EXPECT_FALSE(door.SomebodyWaits());
}

TEST(WaitQueueTest, ADeadlineThatHasPassedEndsTheWaitAtOnce) {
  Door door;
  EXPECT_THAT(door.WaitOnce({.deadline = In(-hours(1))}),
              StatusIs(StatusCode::kDeadlineExceeded, HasSubstr("door")));
}

TEST(WaitQueueTest, AWakeUpBeforeTheDeadlineIsOk) {
  Door door;
  std::thread waiter(
      [&door] { EXPECT_THAT(door.WaitUntilOpen({.deadline = In(hours(1))}), IsOk()); });
  door.AwaitWaiter();
  door.Open();
  waiter.join();
}

TEST(WaitQueueTest, AStopBeforeTheWaitEndsItWithoutSleep) {
  Door door;
  std::stop_source source;
  source.request_stop();
  EXPECT_THAT(door.WaitOnce({.stop = source.get_token()}),
              StatusIs(StatusCode::kCancelled, HasSubstr("stopped while waiting for the door")));
}

TEST(WaitQueueTest, AStopDuringTheWaitEndsIt) {
  Door door;
  std::stop_source source;
  std::thread waiter([&door, &source] {
    EXPECT_THAT(door.WaitUntilOpen({.stop = source.get_token()}),
                StatusIs(StatusCode::kCancelled, HasSubstr("waiting for the door")));
  });
  door.AwaitWaiter();
  source.request_stop();
  waiter.join();
  EXPECT_FALSE(door.SomebodyWaits());
}

TEST(WaitQueueTest, AStopOfOneWaiterLeavesTheOthersWaiting) {
  Door door;
  std::stop_source source;
  std::thread stays([&door] { EXPECT_THAT(door.WaitUntilOpen({}), IsOk()); });
  door.AwaitWaiter();
  std::thread goes([&door, &source] {
    EXPECT_THAT(door.WaitUntilOpen({.stop = source.get_token()}),
                StatusIs(StatusCode::kCancelled, HasSubstr("door")));
  });
  source.request_stop();
  goes.join();
  EXPECT_TRUE(door.SomebodyWaits());
  door.Open();
  stays.join();
}

TEST(WaitQueueTest, WakesAndStopsAtTheSameTimeLoseNobody) {
  for (int round = 0; round < 200; ++round) {
    Door door;
    std::stop_source source;
    std::vector<std::thread> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back(
          [&door, &source] { (void)door.WaitUntilOpen({.stop = source.get_token()}); });
    }
    std::thread stopper([&source] { source.request_stop(); });
    door.Open();
    stopper.join();
    for (std::thread& waiter : waiters) waiter.join();
  }
}

// --- Under each schedule ---

TEST(WaitQueueScheduleTest, ThreeWaitersAreAllWoken) {
  const ScheduleReport report = ExploreSchedules({.preemptions = 1}, [] {
    auto door = std::make_shared<Door>();
    Scenario scenario;
    for (const char* name : {"first", "second", "third"}) {
      scenario.AddThread(name, [door] { EXPECT_THAT(door->WaitUntilOpen({}), IsOk()); });
    }
    scenario.AddThread("opener", [door] {
      SchedulePoint("before the opening");
      door->Open();
    });
    return scenario;
  });
  EXPECT_TRUE(report.Passed()) << report;
  RecordProperty("schedules", std::to_string(report.schedules));
}

TEST(WaitQueueScheduleTest, ADeadlineAndAWakeUpMeetWithoutLoss) {
  const ScheduleReport report = ExploreSchedules({.early_timeouts = 1}, [] {
    auto door = std::make_shared<Door>();
    Scenario scenario;
    scenario.AddThread("patient", [door] { EXPECT_THAT(door->WaitUntilOpen({}), IsOk()); });
    scenario.AddThread("impatient", [door] {
      const absl::Status status = door->WaitUntilOpen({.deadline = In(hours(1))});
      EXPECT_TRUE(status.ok() || absl::IsDeadlineExceeded(status)) << status;
    });
    scenario.AddThread("opener", [door] { door->Open(); });
    return scenario;
  });
  EXPECT_TRUE(report.Passed()) << report;
  RecordProperty("schedules", std::to_string(report.schedules));
}

TEST(WaitQueueScheduleTest, AStopAndAWakeUpMeetWithoutLoss) {
  const ScheduleReport report = ExploreSchedules({.preemptions = 3}, [] {
    auto door = std::make_shared<Door>();
    auto source = std::make_shared<std::stop_source>();
    Scenario scenario;
    scenario.AddThread("waiter", [door, source] {
      const absl::Status status = door->WaitUntilOpen({.stop = source->get_token()});
      EXPECT_TRUE(status.ok() || absl::IsCancelled(status)) << status;
    });
    scenario.AddThread("opener", [door] { door->Open(); });
    scenario.AddThread("stopper", [source] { source->request_stop(); });
    return scenario;
  });
  EXPECT_TRUE(report.Passed()) << report;
  RecordProperty("schedules", std::to_string(report.schedules));
}

TEST(WaitQueueScheduleTest, AWakeADeadlineAndAStopEachReachTheirWaiter) {
  const ScheduleReport report = ExploreSchedules({.max_schedules = 1'000'000}, [] {
    auto door = std::make_shared<Door>();
    auto source = std::make_shared<std::stop_source>();
    Scenario scenario;
    scenario.AddThread("woken", [door] { EXPECT_THAT(door->WaitUntilOpen({}), IsOk()); });
    scenario.AddThread("late", [door] {
      EXPECT_THAT(door->WaitOnce({.deadline = In(hours(1))}),
                  testing::AnyOf(IsOk(), StatusIs(StatusCode::kDeadlineExceeded, HasSubstr(""))));
    });
    scenario.AddThread("stopped", [door, source] {
      const absl::Status status = door->WaitUntilOpen({.stop = source->get_token()});
      EXPECT_TRUE(status.ok() || absl::IsCancelled(status)) << status;
    });
    scenario.AddThread("opener and stopper", [door, source] {
      source->request_stop();
      door->Rattle();
      door->Open();
    });
    return scenario;
  });
  EXPECT_TRUE(report.Passed()) << report;
  RecordProperty("schedules", std::to_string(report.schedules));
}

}  // namespace
}  // namespace vmwire
