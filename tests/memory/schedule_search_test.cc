// That the scheduler runs each schedule once, as many as can be counted by hand.
#include "tests/support/schedule_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "memory/mutex.h"
#include "tests/support/scheduler.h"

namespace vmwire {
namespace {

using testing::HasSubstr;

constexpr int kAll = 1000;  // Preemptions that bound nothing.

// `threads` threads that pass `points` points each, and do nothing.
MakeScenario Walk(int threads, int points) {
  return [threads, points] {
    Scenario scenario;
    for (int i = 0; i < threads; ++i) {
      scenario.AddThread("walker", [points] {
        for (int point = 0; point < points; ++point) SchedulePoint("a step");
      });
    }
    return scenario;
  };
}

TEST(ScheduleSearchTest, OneThreadHasOneSchedule) {
  const ScheduleReport report = ExploreSchedules({}, Walk(1, 5));
  EXPECT_TRUE(report.Passed()) << report;
  EXPECT_EQ(report.schedules, 1u);
}

// Each thread has two pieces: from its start to the point, and from there. C(4, 2) orders of them.
TEST(ScheduleSearchTest, TwoThreadsOfOnePointHaveSixSchedules) {
  const ScheduleReport report = ExploreSchedules({.preemptions = kAll}, Walk(2, 1));
  EXPECT_TRUE(report.Passed()) << report;
  EXPECT_EQ(report.schedules, 6u);
}

// C(8, 4): four pieces each.
TEST(ScheduleSearchTest, TwoThreadsOfThreePointsHaveSeventySchedules) {
  EXPECT_EQ(ExploreSchedules({.preemptions = kAll}, Walk(2, 3)).schedules, 70u);
}

// 6! / (2! 2! 2!)
TEST(ScheduleSearchTest, ThreeThreadsOfOnePointHaveNinetySchedules) {
  EXPECT_EQ(ExploreSchedules({.preemptions = kAll}, Walk(3, 1)).schedules, 90u);
}

TEST(ScheduleSearchTest, WithoutPreemptionsOnlyTheOrderOfTheThreadsIsChosen) {
  EXPECT_EQ(ExploreSchedules({.preemptions = 0}, Walk(3, 4)).schedules, 6u);
}

// Either one goes first (2), and is interrupted at none or one of its points (1 + 3). The other one
// then runs to its end, since to interrupt it would be a second preemption.
TEST(ScheduleSearchTest, OnePreemptionIsOneInterruption) {
  EXPECT_EQ(ExploreSchedules({.preemptions = 1}, Walk(2, 3)).schedules, 8u);
}

// Two pieces each again: to the lock, and from there. No order is forbidden, since the critical
// section has no point in it.
TEST(ScheduleSearchTest, ALockIsAPointAndAnUnlockIsNone) {
  const auto make = [] {
    auto mutex = std::make_shared<Mutex>();
    Scenario scenario;
    for (const char* name : {"a", "b"}) {
      scenario.AddThread(name, [mutex] { const MutexLock lock(*mutex); });
    }
    return scenario;
  };
  EXPECT_EQ(ExploreSchedules({.preemptions = kAll}, make).schedules, 6u);
}

TEST(ScheduleSearchTest, AScenarioThatDependsOnMoreThanTheScheduleFails) {
  int run = 0;
  const ScheduleReport report = ExploreSchedules({}, [&run] { return Walk(2, ++run % 2)(); });
  EXPECT_THAT(report.failure, HasSubstr("depends on more than the schedule"));
}

TEST(ScheduleSearchTest, WhatIsMadeLazilyOnceDoesNotMatter) {
  bool made = false;
  const ScheduleReport report = ExploreSchedules({}, [&made] {
    Scenario scenario = Walk(2, 1)();
    scenario.AddThread("lazy", [&made] {
      if (!made) SchedulePoint("making");
      made = true;
    });
    return scenario;
  });
  EXPECT_TRUE(report.Passed()) << report;
}

TEST(ScheduleSearchTest, ACutOffSearchSaysSo) {
  const ScheduleReport report = ExploreSchedules({.max_schedules = 10}, Walk(2, 3));
  EXPECT_TRUE(report.capped);
  EXPECT_FALSE(report.Passed());
  EXPECT_EQ(report.schedules, 10u);
  EXPECT_THAT(testing::PrintToString(report), HasSubstr("cut off"));
}

TEST(ScheduleSearchTest, ASearchThatEndsAtItsCapIsNotCutOff) {
  EXPECT_FALSE(ExploreSchedules({.preemptions = kAll, .max_schedules = 70}, Walk(2, 3)).capped);
}

}  // namespace
}  // namespace vmwire
