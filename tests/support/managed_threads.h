// The threads of a scenario: real ones, of which exactly one has the baton and runs. At each point
// where the baton may pass on, whoever has it asks a ScheduleSearch who is next.
//
// The threads stay for the next run, since starting them would cost more than most scenarios.
//
// Invariants: only who has the baton touches the state; it passes through a std::mutex, so that
// ThreadSanitizer sees the order. After an abandoned run the other threads sleep for ever.
// Thread safety: Run is for one thread, outside; the hooks are for the managed threads, and for
// that one while Run does not run.
#ifndef VMWIRE_TESTS_SUPPORT_MANAGED_THREADS_H_
#define VMWIRE_TESTS_SUPPORT_MANAGED_THREADS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "memory/mutex.h"
#include "tests/support/schedule_search.h"
#include "tests/support/scheduler.h"

namespace vmwire {

// Lets a thread sleep until it is given.
class Baton {
 public:
  void Give();
  void Take();
  // False: not given within `time`.
  bool TakeWithin(std::chrono::seconds time);

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool given_ = false;
};

class ManagedThreads final : public SyncHooks {
 public:
  // `search` and `options` outlive this.
  ManagedThreads(ScheduleSearch& search, const ScheduleOptions& options)
      : search_(search), options_(options) {}
  ManagedThreads(const ManagedThreads&) = delete;
  ManagedThreads& operator=(const ManagedThreads&) = delete;
  // Ends the threads. REQUIRES: !abandoned(); the hooks are not installed: what a thread has of its
  // own may use locks when it goes.
  ~ManagedThreads() override;

  // Runs `scenario`'s threads to their end, or until none can go on. `scenario` outlives this if
  // the run is abandoned. REQUIRES: !abandoned().
  void Run(const Scenario& scenario);

  // Of the last run: what failed, a line each; what it did, a line each.
  const std::string& failure() const { return failure_; }
  std::string Steps() const;
  // Whether threads are left that can never end.
  bool abandoned() const { return abandoned_; }

  // SchedulePoint and ScheduleStall of a managed thread.
  void Point(const char* name);
  void Stall(const char* name);

  void Lock(const void* mutex) override;
  void Unlock(const void* mutex) override;
  bool Wait(const void* condition, const void* mutex, bool has_deadline) override;
  void NotifyAll(const void* condition) override;

 private:
  enum class State : std::uint8_t { kReady, kWaiting, kEnded };
  enum class Action : std::uint8_t {
    kStart,
    kPoint,
    kStall,
    kLock,
    kWait,
    kRelock,
    kTimeout,
    kNotify,
  };
  // What a thread is about to do, or did.
  struct Step {
    std::size_t thread = 0;
    Action action = Action::kStart;
    const void* mutex = nullptr;
    const void* condition = nullptr;
    const char* name = nullptr;
  };
  struct Managed {
    State state = State::kEnded;
    Step next;  // If kReady: what it does once it has the baton. If kWaiting: the wait.
    bool has_deadline = false;
    bool timed_out = false;
    Baton baton;
    std::thread thread;
  };
  struct HeldMutex {
    const void* mutex;
    std::size_t owner;
  };

  void Work(std::size_t self);
  void RunBody(std::size_t self);
  void Finish();
  void AddFailure(const std::string& text);
  [[noreturn]] void DieStuck() const;

  // Announces what thread `self` does next, and returns when it may.
  void Reach(std::size_t self, const Step& step);
  // Lets thread `self`, which waits, sleep until it is chosen again.
  void Sleep(std::size_t self, bool has_deadline);
  // Gives the baton to the next thread, or to Run if there is none. False: `self` keeps it.
  bool PassOn(std::size_t self);
  // Who runs next; nullopt: the run is over.
  std::optional<std::size_t> PickNext(std::size_t self);
  void TimeOut(std::size_t thread);
  // The choices there are: who can run, `self` first, then whose wait can time out.
  std::string Options(std::size_t self) const;
  bool CanRun(std::size_t thread) const;
  std::optional<std::size_t> OwnerOf(const void* mutex) const;

  std::string Describe(const Step& step) const;
  std::string DescribeBlocked() const;
  std::string NameOf(std::size_t thread) const;

  ScheduleSearch& search_;
  const ScheduleOptions& options_;
  const Scenario* scenario_ = nullptr;
  std::array<Managed, kMaxScenarioThreads> managed_;
  std::size_t count_ = 0;  // Of the threads of this run: the first of managed_.
  Baton done_;
  std::atomic<bool> running_ = false;
  std::atomic<std::size_t> steps_taken_ = 0;  // Of all runs: shows Run that something happens.
  bool stopping_ = false;
  bool abandoned_ = false;
  std::vector<HeldMutex> held_;
  std::vector<Step> steps_;
  std::string failure_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_SUPPORT_MANAGED_THREADS_H_
