#include "memory/asymmetric_fence.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace vmwire {
namespace {

// Spins for as long as another core needs, and gives way if that thread has no core.
void SpinUntil(const std::atomic<int>& word, int value) {
  for (int looks = 0; word.load() != value; ++looks) {
    if (looks > 1000) std::this_thread::yield();
  }
}

// Store buffering: each side stores to its own word, fences, and loads the other's. Returns in how
// many of the rounds both loads missed the other's store, which the fences are to prevent.
int RoundsBothMissed(int rounds) {
  struct alignas(128) Word {
    std::atomic<int> value = 0;
  };
  Word light;
  Word heavy;
  Word round;
  Word done;
  int light_saw = 0;
  std::thread light_side([&] {
    for (int i = 1; i <= rounds; ++i) {
      SpinUntil(round.value, i);
      light.value.store(i, kPublish);
      LightFence();
      light_saw = heavy.value.load(kObserve);
      done.value.store(i);
    }
  });
  int missed = 0;
  for (int i = 1; i <= rounds; ++i) {
    round.value.store(i);
    // The stores are to meet: the other side starts a little later, or much.
    for (int spin = 0; spin < i % 64; ++spin) __builtin_ia32_pause();
    heavy.value.store(i, kPublish);
    HeavyFence();
    const int heavy_saw = light.value.load(kObserve);
    SpinUntil(done.value, i);
    missed += heavy_saw != i && light_saw != i ? 1 : 0;
  }
  light_side.join();
  return missed;
}

// Makes membarrier(2) fail with ENOSYS in this process from now on. False: that is not possible.
bool TakeAwayMembarrier() {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter = {.len = program.size(), .filter = program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(AsymmetricFenceTest, OneSideSeesTheOther) { EXPECT_EQ(RoundsBothMissed(20'000), 0); }

TEST(AsymmetricFenceTest, LightHalfIsFreeOncePrepared) {
  const bool is_free = PrepareFences();

  EXPECT_EQ(is_free, fence_internal::light_is_free.load());
  EXPECT_EQ(is_free, PrepareFences());
}

void RunWithoutMembarrier() {
  if (!TakeAwayMembarrier()) {
    std::fputs("no filter\n", stderr);
    std::exit(0);
  }
  const bool right = !PrepareFences() && RoundsBothMissed(20'000) == 0;
  std::fputs(right ? "right\n" : "wrong\n", stderr);
  std::exit(0);
}

TEST(AsymmetricFenceDeathTest, WithoutMembarrierBothHalvesAreFences) {
  // Anew from main: this process may be registered already.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(RunWithoutMembarrier(), testing::ExitedWithCode(0), "right|no filter");
}

}  // namespace
}  // namespace vmwire
