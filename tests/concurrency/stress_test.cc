// Eight threads that do everything at once to the same memory, and come to rest now and then: then
// every count, pin and charge is compared with what the threads have.
//
// VMWIRE_STRESS_SECONDS says how long each test runs (3 by default), VMWIRE_TEST_SEED what is
// drawn. The order of the threads is the machine's, so a seed does not repeat a failure for
// certain.
#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/concurrency/stress_thread.h"
#include "tests/concurrency/stress_world.h"
#include "tests/support/seed.h"

namespace vmwire {
namespace {

constexpr size_t kThreads = 8;
constexpr int kStepsBetweenRests = 1000;

std::chrono::seconds Duration() {
  const char* text = std::getenv("VMWIRE_STRESS_SECONDS");
  return std::chrono::seconds(text != nullptr ? std::strtoll(text, nullptr, 0) : 3);
}

class Stress {
 public:
  explicit Stress(StressWorld& world) : world_(world) {
    const uint64_t seed = TestSeed();
    for (size_t i = 0; i < kThreads; ++i) {
      threads_.push_back(std::make_unique<StressThread>(world, i, seed * kThreads + i));
    }
  }

  void Run() {
    const auto end = std::chrono::steady_clock::now() + Duration();
    bool over = false;
    // Runs in one of the threads, while all are at rest.
    const auto at_rest = [&]() noexcept {
      Compare();
      over = std::chrono::steady_clock::now() >= end || testing::Test::HasFailure();
    };
    std::barrier rest(kThreads, at_rest);
    std::vector<std::thread> running;
    for (const auto& thread : threads_) {
      running.emplace_back([&rest, &over, &each = *thread] {
        while (!over) {
          for (int i = 0; i < kStepsBetweenRests; ++i) each.Step();
          rest.arrive_and_wait();
        }
      });
    }
    for (std::thread& thread : running) thread.join();
    for (const auto& thread : threads_) thread->Finish();
    world_.Finish();
    Report();
  }

 private:
  void Compare() {
    ++rests_;
    auto book = std::make_unique<StressBook>();
    for (const auto& thread : threads_) thread->AddTo(*book);
    world_.CompareAtRest(*book);
  }

  // What was done, and that each operation succeeded.
  void Report() const {
    std::map<std::string, uint64_t> outcomes;
    for (const auto& thread : threads_) {
      for (const auto& [outcome, count] : thread->outcomes()) outcomes[outcome] += count;
    }
    uint64_t operations = 0;
    std::map<std::string, uint64_t> succeeded;
    for (const auto& [outcome, count] : outcomes) {
      std::printf("%10" PRIu64 "  %s\n", count, outcome.c_str());
      operations += count;
      const std::string operation = outcome.substr(0, outcome.find(':'));
      succeeded[operation] += outcome == operation + ": OK" ? count : 0;
    }
    std::printf("%" PRIu64 " operations, at rest %" PRIu64 " times\n", operations, rests_);
    for (const auto& [operation, count] : succeeded) EXPECT_GT(count, 0u) << operation;
  }

  StressWorld& world_;
  std::vector<std::unique_ptr<StressThread>> threads_;
  uint64_t rests_ = 0;
};

TEST(StressTest, EightThreadsOnTheFakeHost) {
  StressWorld world(NewFakeStressHost());
  Stress(world).Run();
}

TEST(StressTest, EightThreadsOnTheRealHost) {
  StressWorld world(NewRealStressHost());
  if (const absl::Status pins = world.CheckHostPins(); !pins.ok()) {
    GTEST_SKIP() << "this host cannot pin: " << pins;
  }
  Stress(world).Run();
}

}  // namespace
}  // namespace vmwire
