#include "tests/concurrency/concurrent_case.h"

#include <cinttypes>
#include <cstdio>
#include <latch>
#include <sstream>
#include <thread>
#include <vector>

namespace vmwire {
namespace {

// Of a case with threads that run freely.
constexpr int kRepetitions = 150;

// The sum over all tests of the program.
class Total : public testing::Environment {
 public:
  void Add(uint64_t schedules) { schedules_ += schedules; }
  void TearDown() override { std::printf("schedules in total: %" PRIu64 "\n", schedules_); }

 private:
  uint64_t schedules_ = 0;
};

Total& TotalOfProgram() {
  static auto* const total = static_cast<Total*>(testing::AddGlobalTestEnvironment(new Total));
  return *total;
}
[[maybe_unused]] const Total& total_is_registered = TotalOfProgram();

void RunWithThreads(const Scenario& scenario) {
  std::latch start(static_cast<std::ptrdiff_t>(scenario.threads.size()));
  std::vector<std::thread> threads;
  for (const Scenario::Thread& each : scenario.threads) {
    threads.emplace_back([&start, &each] {
      start.arrive_and_wait();
      each.body();
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (scenario.check) scenario.check();
}

}  // namespace

std::string RunnerName(const testing::TestParamInfo<Runner>& info) {
  return info.param == Runner::kSchedules ? "Schedules" : "Threads";
}

void ConcurrentCase::Run(const MakeCase& make, const ScheduleOptions& options) {
  RunSetting("T1 stopped in a fault", {.stopped = true}, make, options);
  if (HasFailure()) return;
  RunSetting("nobody stopped", {.stopped = false}, make, options);
}

void ConcurrentCase::RunFree(const MakeCase& make, const ScheduleOptions& options) {
  RunSetting("nobody stopped", {.stopped = false}, make, options);
}

void ConcurrentCase::RunSetting(const char* name, const Setting& setting, const MakeCase& make,
                                const ScheduleOptions& options) {
  SCOPED_TRACE(name);
  if (GetParam() == Runner::kThreads) {
    for (int i = 0; i < kRepetitions && !HasFailure(); ++i) RunWithThreads(make(setting));
    return;
  }
  const ScheduleReport report = ExploreSchedules(options, [&] { return make(setting); });
  std::ostringstream text;
  text << report;
  EXPECT_TRUE(report.Passed()) << text.str();
  std::printf("%s, %s: %" PRIu64 " schedules\n",
              testing::UnitTest::GetInstance()->current_test_info()->name(), name,
              report.schedules);
  TotalOfProgram().Add(report.schedules);
}

void ConcurrentCase::ExpectSeen(std::initializer_list<const char*> outcomes) const {
  if (GetParam() == Runner::kThreads || HasFailure()) return;
  for (const char* outcome : outcomes) {
    EXPECT_TRUE(outcomes_.count(outcome) != 0) << "no schedule led to: " << outcome;
  }
}

}  // namespace vmwire
