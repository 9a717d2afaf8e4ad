#include "tests/support/scheduler.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "memory/check.h"
#include "memory/mutex.h"
#include "tests/support/managed_threads.h"
#include "tests/support/schedule_search.h"

namespace vmwire {
namespace {

// Has the locks of the process taken over for as long as it lives.
class ScopedHooks {
 public:
  explicit ScopedHooks(SyncHooks* hooks) {
    VMWIRE_CHECK(SyncHooks::Installed() == nullptr, "one exploration runs at a time");
    SyncHooks::Install(hooks);
  }
  ScopedHooks(const ScopedHooks&) = delete;
  ScopedHooks& operator=(const ScopedHooks&) = delete;
  ~ScopedHooks() { SyncHooks::Install(nullptr); }
};

// Keeps this thread, and those that it starts, on the processor it is on: only one of them runs at
// a time, and to wake one elsewhere costs twice as much. Where that cannot be had, it is as well.
class ScopedOneProcessor {
 public:
  ScopedOneProcessor() : restores_(sched_getaffinity(0, sizeof before_, &before_) == 0) {
    const int here = sched_getcpu();
    if (!restores_ || here < 0 || here >= CPU_SETSIZE) return;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(static_cast<std::size_t>(here), &only);
    (void)sched_setaffinity(0, sizeof only, &only);
  }
  ScopedOneProcessor(const ScopedOneProcessor&) = delete;
  ScopedOneProcessor& operator=(const ScopedOneProcessor&) = delete;
  ~ScopedOneProcessor() {
    if (restores_) (void)sched_setaffinity(0, sizeof before_, &before_);
  }

 private:
  cpu_set_t before_;
  bool restores_;
};

class Exploration {
 public:
  Exploration(const ScheduleOptions& options, const MakeScenario& make)
      : options_(options), make_(make) {}

  ScheduleReport Run(const ScheduleSearch& search);
  bool abandoned() const { return threads_.abandoned(); }

 private:
  void RunAll(const ScheduleSearch& search);
  // Makes and runs the scenario once, and frees it. False: it failed.
  bool RunOnce();
  // Lets go of all that the scenario shares; the threads' names stay, for the report.
  void FreeState();
  void CallAndCatch(const char* what, const std::function<void()>& call);
  // Moves the failures of expectations since the last call to the report.
  void TakeFailedExpectations();

  const ScheduleOptions options_;
  const MakeScenario make_;
  ScheduleReport report_;
  testing::TestPartResultArray expectations_;
  int expectations_seen_ = 0;
  ScheduleSearch search_{ScheduleSearch::Bounds{0, 0}};
  Scenario scenario_;  // Declared before the threads, which may run in it.
  ManagedThreads threads_{search_, options_};
};

ScheduleReport Exploration::Run(const ScheduleSearch& search) {
  const ScopedOneProcessor processor;
  const ScopedHooks hooks(&threads_);
  const testing::ScopedFakeTestPartResultReporter reporter(
      testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &expectations_);
  RunAll(search);
  return report_;
}

void Exploration::RunAll(const ScheduleSearch& search) {
  // Once for what the process makes lazily: it would be there in all runs but the first.
  if (!RunOnce()) {
    report_.schedules = 1;
    return;
  }
  search_ = search;
  while (true) {
    ++report_.schedules;
    if (!RunOnce() || !search_.Next()) return;
    if (report_.schedules >= options_.max_schedules) {
      report_.capped = true;
      return;
    }
  }
}

bool Exploration::RunOnce() {
  scenario_ = {};
  CallAndCatch("the making of the scenario", [this] { scenario_ = make_(); });
  threads_.Run(scenario_);
  search_.EndRun();
  report_.failure += threads_.failure();
  if (!search_.divergence().empty()) report_.failure += search_.divergence() + "\n";
  if (!abandoned()) {
    if (scenario_.check) CallAndCatch("the check", scenario_.check);
    CallAndCatch("the end of the scenario", [this] { FreeState(); });
  }
  TakeFailedExpectations();
  if (report_.failure.empty()) return true;
  report_.schedule = search_.Taken();
  report_.steps = threads_.Steps();
  return false;
}

void Exploration::FreeState() {
  scenario_.check = nullptr;
  for (Scenario::Thread& thread : scenario_.threads) thread.body = nullptr;
}

void Exploration::CallAndCatch(const char* what, const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    report_.failure += std::string(what) + " threw: " + error.what() + "\n";
  }
}

void Exploration::TakeFailedExpectations() {
  for (; expectations_seen_ < expectations_.size(); ++expectations_seen_) {
    const testing::TestPartResult& part = expectations_.GetTestPartResult(expectations_seen_);
    if (!part.failed()) continue;
    const char* file = part.file_name() != nullptr ? part.file_name() : "unknown file";
    report_.failure +=
        std::string(file) + ":" + std::to_string(part.line_number()) + ": " + part.message() + "\n";
  }
}

ScheduleReport Explore(const ScheduleOptions& options, const MakeScenario& make,
                       const ScheduleSearch& search) {
  auto exploration = std::make_unique<Exploration>(options, make);
  ScheduleReport report = exploration->Run(search);
  if (exploration->abandoned()) {
    // Its threads sleep for ever, in frames that refer to it. From here the leak checker sees it.
    static auto* const abandoned = new std::vector<std::unique_ptr<Exploration>>;
    abandoned->push_back(std::move(exploration));
  }
  return report;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const ScheduleReport& report) {
  out << report.schedules << " schedules";
  if (report.capped) out << ", where the search was cut off (max_schedules)";
  if (report.failure.empty()) return out << ", no failure";
  return out << ", then a failure:\n"
             << report.failure << "with the schedule (for ReplaySchedule) \"" << report.schedule
             << "\":\n"
             << report.steps;
}

ScheduleReport ExploreSchedules(const ScheduleOptions& options, const MakeScenario& make) {
  return Explore(options, make,
                 ScheduleSearch(ScheduleSearch::Bounds{.preemptions = options.preemptions,
                                                       .early_timeouts = options.early_timeouts}));
}

ScheduleReport ReplaySchedule(const ScheduleOptions& options, const std::string& schedule,
                              const MakeScenario& make) {
  return Explore(options, make, ScheduleSearch(schedule));
}

}  // namespace vmwire
