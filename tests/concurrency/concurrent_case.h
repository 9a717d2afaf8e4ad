// A concurrent case, run in two ways: under the scheduler, which goes through all schedules, and
// many times with threads that run freely, for the race detector.
//
//   TEST_P(WiringRaces, H01...) {
//     Run([](const Setting& setting) {
//       auto world = std::make_shared<World>(WorldOptions{.stops_in_faults = setting.stopped});
//       Scenario scenario; ...
//       return scenario;
//     });
//   }
//
// Each is run twice: with its thread T1 stopped inside a fault (the barrier "@page" of the cases),
// and without.
//
// Invariants: a case depends on nothing but its setting and the schedule.
// Thread safety: none.
#ifndef VMWIRE_TESTS_CONCURRENCY_CONCURRENT_CASE_H_
#define VMWIRE_TESTS_CONCURRENCY_CONCURRENT_CASE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "tests/support/scheduler.h"

namespace vmwire {

enum class Runner { kSchedules, kThreads };
std::string RunnerName(const testing::TestParamInfo<Runner>& info);

struct Setting {
  bool stopped = false;  // T1 stops in a fault until nobody else can go on.
};
using MakeCase = std::function<Scenario(const Setting&)>;

class ConcurrentCase : public testing::TestWithParam<Runner> {
 protected:
  // With T1 stopped, and without.
  void Run(const MakeCase& make, const ScheduleOptions& options = {});
  // Once, for cases in which nobody stops.
  void RunFree(const MakeCase& make, const ScheduleOptions& options = {});

  // How often a check saw what. The checks run one at a time.
  void Saw(const std::string& outcome) { ++outcomes_[outcome]; }
  // Expects that every one of these came in some schedule. (Threads that run freely may miss one.)
  void ExpectSeen(std::initializer_list<const char*> outcomes) const;

 private:
  void RunSetting(const char* name, const Setting& setting, const MakeCase& make,
                  const ScheduleOptions& options);

  std::map<std::string, uint64_t> outcomes_;
};

#define VMWIRE_RUN_IN_BOTH_WAYS(suite)                                                     \
  INSTANTIATE_TEST_SUITE_P(, suite, testing::Values(Runner::kSchedules, Runner::kThreads), \
                           RunnerName)

}  // namespace vmwire

#endif  // VMWIRE_TESTS_CONCURRENCY_CONCURRENT_CASE_H_
