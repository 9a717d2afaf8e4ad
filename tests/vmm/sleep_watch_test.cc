#include "vmm/sleep_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/vmm/fake_machine.h"

namespace vmwire {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kInterval(5);

// Answers for two CPUs, again and again, until the end is asked for or `rounds` intervals are over.
void AnswerFor(SleepWatch& watch, const StopRequest& stop, bool first, bool second, int rounds) {
  const auto end = std::chrono::steady_clock::now() + rounds * kInterval;
  while (!stop.requested() && std::chrono::steady_clock::now() < end) {
    watch.Answer(0, first);
    watch.Answer(1, second);
    std::this_thread::yield();
  }
}

TEST(SleepWatchTest, GuestOfWhichEveryCpuSleepsForEverIsAskedToEnd) {
  StopRequest stop;
  SleepWatch watch(stop, 2, kInterval);

  AnswerFor(watch, stop, true, true, 2000);

  ASSERT_TRUE(stop.requested());
  EXPECT_EQ(stop.reason(), StopRequest::kAsleep);
}

TEST(SleepWatchTest, GuestOfWhichOneCpuRunsGoesOn) {
  StopRequest stop;
  SleepWatch watch(stop, 2, kInterval);

  AnswerFor(watch, stop, true, false, 20);

  EXPECT_FALSE(stop.requested());
}

TEST(SleepWatchTest, GuestOfWhichOneCpuDoesNotAnswerGoesOn) {
  StopRequest stop;
  SleepWatch watch(stop, 3, kInterval);

  AnswerFor(watch, stop, true, true, 20);

  EXPECT_FALSE(stop.requested());
}

TEST(SleepWatchTest, TargetsAreKickedInEveryRound) {
  StopRequest stop;
  kvm_run run = {};
  const StopRequest::Target target(stop, run);
  SleepWatch watch(stop, 1, kInterval);

  for (int round = 0; round < 3; ++round) {
    while (__atomic_load_n(&run.immediate_exit, __ATOMIC_RELAXED) == 0) std::this_thread::yield();
    StopRequest::Rearm(run);
  }

  EXPECT_FALSE(stop.requested());
}

class SleepsForEverTest : public testing::Test {
 protected:
  bool Sleeps(uint32_t state, uint64_t rflags) {
    kvm_regs regs = {};
    regs.rflags = rflags;
    EXPECT_TRUE(machine_.vcpu().SetRegs(regs).ok());
    machine_.kvm().SetMpState(state);
    return SleepsForEver(machine_.vcpu());
  }

  FakeMachine machine_;
};

TEST_F(SleepsForEverTest, HaltWithInterruptsOff) { EXPECT_TRUE(Sleeps(KVM_MP_STATE_HALTED, 2)); }

TEST_F(SleepsForEverTest, NotAHaltWithInterruptsOn) {
  EXPECT_FALSE(Sleeps(KVM_MP_STATE_HALTED, 0x202));
}

TEST_F(SleepsForEverTest, CpuThatWaitsForItsStart) {
  EXPECT_TRUE(Sleeps(KVM_MP_STATE_UNINITIALIZED, 2));
  EXPECT_TRUE(Sleeps(KVM_MP_STATE_INIT_RECEIVED, 2));
}

TEST_F(SleepsForEverTest, NotACpuThatRuns) { EXPECT_FALSE(Sleeps(KVM_MP_STATE_RUNNABLE, 2)); }

TEST_F(SleepsForEverTest, NotACpuOfWhichNothingIsKnown) {
  machine_.journal().FailNth(1, EIO);

  EXPECT_FALSE(SleepsForEver(machine_.vcpu()));
}

}  // namespace
}  // namespace vmwire
