#include "memory/hold_watch.h"

#include <algorithm>
#include <list>
#include <thread>
#include <utility>

#include "memory/mutex.h"
#include "memory/status_macros.h"
#include "memory/thread_record.h"

namespace vmwire {
namespace {

struct Listening {
  ReleaseListener* listener;
  bool pending = false;  // A release that its callback has not been called for yet.
  bool running = false;
  bool removed = false;  // While it runs: to be taken off the list afterwards.
  std::thread::id runner = {};
};

}  // namespace

struct HoldReleases::Shared {
  Mutex mutex;
  uint64_t announced ABSL_GUARDED_BY(mutex) = 0;
  WaitQueue waiters ABSL_GUARDED_BY(mutex);
  std::list<Listening> listeners ABSL_GUARDED_BY(mutex);
  Condition callback_over;  // Of any listener.
};

HoldReleases::Shared& HoldReleases::Global() {
  // Never destroyed: threads may release holds while the process ends.
  static Shared& shared = *new Shared;
  return shared;
}

void HoldReleases::AddInterest() {
  interested_.fetch_add(1, std::memory_order_seq_cst);
  FenceOtherThreads();
}

void HoldReleases::DropInterest() { interested_.fetch_sub(1, std::memory_order_seq_cst); }

void HoldReleases::AddListener(ReleaseListener& listener) {
  Shared& shared = Global();
  {
    const MutexLock lock(shared.mutex);
    shared.listeners.push_back({.listener = &listener});
  }
  AddInterest();
}

void HoldReleases::RemoveListener(ReleaseListener& listener) {
  Shared& shared = Global();
  const MutexLock lock(shared.mutex);
  for (;;) {
    bool running = false;
    bool in_callback = false;
    for (auto it = shared.listeners.begin(); it != shared.listeners.end();) {
      const auto each = it++;
      if (each->listener != &listener) continue;
      if (!std::exchange(each->removed, true)) DropInterest();
      running |= each->running;
      in_callback |= each->running && each->runner == std::this_thread::get_id();
      if (!each->running) shared.listeners.erase(each);
    }
    if (!running || in_callback) return;
    // A callback in another thread may add the listener again; so all is looked at again.
    shared.callback_over.Wait(shared.mutex, std::nullopt);
  }
}

void HoldReleases::Announce() {
  Shared& shared = Global();
  shared.mutex.Lock();
  ++shared.announced;
  shared.waiters.WakeAll();
  for (Listening& each : shared.listeners) each.pending = true;
  for (;;) {
    const auto it = std::find_if(
        shared.listeners.begin(), shared.listeners.end(),
        [](const Listening& each) { return each.pending && !each.running && !each.removed; });
    if (it == shared.listeners.end()) break;
    it->pending = false;
    it->running = true;
    it->runner = std::this_thread::get_id();
    shared.mutex.Unlock();
    it->listener->OnHoldReleased();
    shared.mutex.Lock();
    it->running = false;
    if (it->removed) shared.listeners.erase(it);
    shared.callback_over.NotifyAll();
  }
  shared.mutex.Unlock();
}

HoldWatch::HoldWatch() {
  HoldReleases::AddInterest();
  HoldReleases::Shared& shared = HoldReleases::Global();
  const MutexLock lock(shared.mutex);
  seen_ = shared.announced;
}

HoldWatch::~HoldWatch() { HoldReleases::DropInterest(); }

absl::Status HoldWatch::WaitForRelease(const WaitLimits& limits, const std::string& what) {
  VMWIRE_RETURN_IF_ERROR(limits.Check(what));
  HoldReleases::Shared& shared = HoldReleases::Global();
  const MutexLock lock(shared.mutex);
  while (shared.announced == seen_) {
    VMWIRE_RETURN_IF_ERROR(shared.waiters.Wait(shared.mutex, limits, what));
  }
  seen_ = shared.announced;
  return absl::OkStatus();
}

}  // namespace vmwire
