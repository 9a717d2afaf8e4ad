// Who is told that a hold was released: writers that wait for it, and listeners that have put off
// work until then.
//
// A release costs one load while nobody is interested. Why none is missed, although it writes
// nothing that is shared:
//
//   release: free the slot (kPublish); LightFence(); load the number of the interested
//   writer:  add itself to that number; a heavy fence; look for the slot (HoldTable::FirstHolder)
//
// Either the writer finds the slot free, or the release finds the writer and tells it. Told between
// the look and the sleep, the writer sees that the count of releases has changed, and does not
// sleep.
//
// Invariants: a listener's callback runs in one thread at a time; a release during it makes it run
// again.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_HOLD_WATCH_H_
#define VMWIRE_MEMORY_HOLD_WATCH_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "memory/asymmetric_fence.h"
#include "memory/wait_queue.h"

namespace vmwire {

class ReleaseListener {
 public:
  virtual ~ReleaseListener() = default;
  // One hold or more were released. Runs in a thread that released one, under no lock and in no
  // read section; may release holds and add or remove listeners.
  virtual void OnHoldReleased() = 0;
};

// Of the whole process.
class HoldReleases {
 public:
  // From when this returns, each release either calls the listener or is seen by a look for holders
  // that needs no fence of its own. While there is a listener every release takes a mutex.
  static void AddListener(ReleaseListener& listener);

  // Once this returns no callback of `listener` runs, save one that the calling thread itself is
  // in. Nothing happens if it was not added.
  // REQUIRES: no lock is held that a callback of it may want.
  static void RemoveListener(ReleaseListener& listener);

  // For HoldTable::Release, after its fence: true if Announce must be called.
  static bool Wanted() { return interested_.load(kObserve) != 0; }

  // Wakes all watches and calls all listeners. REQUIRES: no lock is held; in no read section.
  static void Announce();

 private:
  friend class HoldWatch;
  struct Listeners;
  struct Shared;
  static Shared& Global();
  static void AddInterest();
  static void DropInterest();

  // Alone on its line, which only the interested write.
  alignas(128) static inline constinit std::atomic<uint32_t> interested_ = 0;
};

// A writer's interest in releases:
//
//   change what a hold checks; HoldWatch watch;
//   while (HoldTable::FirstHolderFenced(...)) VMWIRE_RETURN_IF_ERROR(watch.WaitForRelease(limits,
//   ..));
class [[nodiscard]] HoldWatch {
 public:
  // Ends with a heavy fence: looks for holders after it need none.
  HoldWatch();
  HoldWatch(const HoldWatch&) = delete;
  HoldWatch& operator=(const HoldWatch&) = delete;
  ~HoldWatch();

  // Sleeps until some hold was released since the watch began or the last wait ended well.
  // DeadlineExceeded, Cancelled: as WaitLimits::Check, even if there was a release as well, so that
  // a stream of other holds cannot keep a wait beyond its limits.
  absl::Status WaitForRelease(const WaitLimits& limits, const std::string& what);

 private:
  uint64_t seen_ = 0;  // The releases that were announced before the last look for holders.
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HOLD_WATCH_H_
