#include "vmm/stop_request.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace vmwire {
namespace {

using std::chrono::steady_clock;

bool ImmediateExit(const kvm_run& run) {
  return __atomic_load_n(&run.immediate_exit, __ATOMIC_RELAXED) != 0;
}

// Waits for the mark, as KVM_RUN would for the signal.
bool WaitForMark(const kvm_run& run) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(10);
  while (!ImmediateExit(run)) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(StopRequestTest, FirstRequestStays) {
  StopRequest stop;
  EXPECT_FALSE(stop.requested());

  stop.Stop(SIGINT);
  stop.Stop(SIGTERM);

  EXPECT_TRUE(stop.requested());
  EXPECT_EQ(stop.reason(), SIGINT);
}

TEST(StopRequestTest, StopOnTheTargetsThreadMarksAtOnce) {
  StopRequest stop;
  kvm_run run = {};
  StopRequest::Target target(stop, run);

  stop.Stop(0);

  EXPECT_TRUE(ImmediateExit(run));
}

TEST(StopRequestTest, StopOfAnotherThreadMarks) {
  StopRequest stop;
  kvm_run run = {};
  StopRequest::Target target(stop, run);

  std::thread other([&] { stop.Stop(0); });

  EXPECT_TRUE(WaitForMark(run));
  other.join();
}

TEST(StopRequestTest, KickReachesAThreadThatHadTheSignalBlocked) {
  sigset_t kick;
  sigemptyset(&kick);
  sigaddset(&kick, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &kick, nullptr);
  StopRequest stop;
  kvm_run run = {};
  {
    StopRequest::Target target(stop, run);
    stop.Stop(0);
  }

  EXPECT_TRUE(ImmediateExit(run));
  sigset_t now;
  pthread_sigmask(SIG_UNBLOCK, &kick, &now);
  EXPECT_EQ(sigismember(&now, SIGRTMIN), 1) << "the mask was not put back";
}

TEST(StopRequestTest, TargetBeginsUnmarked) {
  StopRequest stop;
  kvm_run run = {};
  run.immediate_exit = 1;

  StopRequest::Target target(stop, run);

  EXPECT_FALSE(ImmediateExit(run));
}

TEST(StopRequestTest, StopMarksTheTargetOfEveryThread) {
  constexpr int kThreads = 4;
  StopRequest stop;
  std::atomic<int> ready = 0;
  std::atomic<int> marked = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      kvm_run run = {};
      const StopRequest::Target target(stop, run);
      ++ready;
      if (WaitForMark(run)) ++marked;
    });
  }
  while (ready.load() != kThreads) std::this_thread::yield();

  stop.Stop(StopRequest::kTimeLimit);

  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(marked.load(), kThreads);
  EXPECT_EQ(stop.reason(), StopRequest::kTimeLimit);
}

TEST(StopRequestTest, PlaceOfATargetIsFreeAgain) {
  StopRequest stop;
  kvm_run run = {};

  for (uint32_t i = 0; i < 2 * kMaxCpus; ++i) const StopRequest::Target target(stop, run);

  EXPECT_FALSE(stop.requested());
}

TEST(StopRequestTest, StopAfterTheTargetTouchesNothing) {
  StopRequest stop;
  kvm_run run = {};
  { StopRequest::Target target(stop, run); }

  stop.Stop(0);

  EXPECT_FALSE(ImmediateExit(run));
}

StopRequest* signalled_request = nullptr;

TEST(StopRequestTest, SignalHandlerMayStop) {
  StopRequest stop;
  signalled_request = &stop;
  struct sigaction action = {};
  action.sa_handler = [](int signal) { signalled_request->Stop(signal); };
  sigfillset(&action.sa_mask);
  struct sigaction before;
  sigaction(SIGUSR1, &action, &before);
  kvm_run run = {};
  StopRequest::Target target(stop, run);

  raise(SIGUSR1);

  EXPECT_TRUE(ImmediateExit(run));
  EXPECT_EQ(stop.reason(), SIGUSR1);
  sigaction(SIGUSR1, &before, nullptr);
}

// Whenever the request comes, the loop sees it before it runs the guest, or the mark does.
TEST(StopRequestTest, NoRequestIsLostWheneverItComes) {
  for (int round = 0; round < 2000; ++round) {
    StopRequest stop;
    kvm_run run = {};
    std::atomic<bool> go = false;
    std::thread other([&] {
      while (!go.load()) {
      }
      stop.Stop(0);
    });
    go.store(true);
    StopRequest::Target target(stop, run);

    const bool seen = stop.requested() || WaitForMark(run);

    other.join();
    ASSERT_TRUE(seen) << "in round " << round;
  }
}

}  // namespace
}  // namespace vmwire
