// Waiting for what the kernel does in its own time: a ring that was closed gives its share of
// RLIMIT_MEMLOCK back a moment later, and other processes of the same user share that limit.
//
// Thread safety: no state.
#ifndef VMWIRE_TESTS_SUPPORT_EVENTUALLY_H_
#define VMWIRE_TESTS_SUPPORT_EVENTUALLY_H_

#include <chrono>
#include <thread>

namespace vmwire {

// Calls `attempt` until `done` of its result is true, or for ten seconds; returns the last result.
template <typename Attempt, typename Done>
auto Eventually(Attempt attempt, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (true) {
    auto result = attempt();
    if (done(result) || std::chrono::steady_clock::now() > deadline) return result;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_EVENTUALLY_H_
