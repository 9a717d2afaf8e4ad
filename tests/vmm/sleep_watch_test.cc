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

TEST(SleepRoundsTest, TwoRoundsRunningOfSleepAreTheEnd) {
  SleepRounds rounds(2);
  for (const bool is_last : {false, true}) {
    rounds.Answer(0, true);
    rounds.Answer(1, true);
    EXPECT_EQ(rounds.End(), is_last);
  }
}

TEST(SleepRoundsTest, RoundInWhichOneIsAwakeBeginsTheCountAgain) {
  SleepRounds rounds(1);
  for (const bool sleeps : {true, false, true}) {
    rounds.Answer(0, sleeps);
    EXPECT_FALSE(rounds.End());
  }
  rounds.Answer(0, true);
  EXPECT_TRUE(rounds.End());
}

TEST(SleepRoundsTest, AnswerCountsInItsOwnRoundOnly) {
  SleepRounds rounds(1);
  rounds.Answer(0, true);
  EXPECT_FALSE(rounds.End());
  EXPECT_FALSE(rounds.End()) << "no answer in this one";
  rounds.Answer(0, true);
  EXPECT_FALSE(rounds.End());
}

TEST(SleepRoundsTest, LastAnswerOfARoundCounts) {
  SleepRounds rounds(1);
  for (int i = 0; i < 3; ++i) {
    rounds.Answer(0, true);
    rounds.Answer(0, false);
    EXPECT_FALSE(rounds.End());
  }
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

  FakeMachine machine_{/*irqchip=*/true};
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

TEST_F(SleepsForEverTest, NotAHaltThatAnNmiMayEnd) {
  machine_.kvm().SetIoapicPin(2, 0x430);

  EXPECT_FALSE(Sleeps(KVM_MP_STATE_HALTED, 2));
  EXPECT_TRUE(Sleeps(KVM_MP_STATE_UNINITIALIZED, 2)) << "it takes an INIT";
}

TEST_F(SleepsForEverTest, NotACpuOfWhichNothingIsKnown) {
  ASSERT_TRUE(Sleeps(KVM_MP_STATE_HALTED, 2));
  for (uint64_t nth = 1; nth <= 4; ++nth) {
    machine_.journal().FailNth(nth, EIO);
    EXPECT_FALSE(SleepsForEver(machine_.vcpu())) << nth;
    EXPECT_TRUE(machine_.journal().failed());
  }
}

}  // namespace
}  // namespace vmwire
