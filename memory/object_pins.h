// The runs of an object's pages that the host has pinned (or that are being pinned, let go or given
// back to the host), and the mutex that orders all of it.
//
// Invariants: extents are disjoint, and keyed by their first page. A busy extent is changed by the
// thread that made it busy only; whoever needs its pages waits in `idle`. Every wired page lies in
// a pinned extent; `wired_pages` counts those of the extent.
// Thread safety: everything under
// `mutex`, which is never held over a call of the host.
#ifndef VMWIRE_MEMORY_OBJECT_PINS_H_
#define VMWIRE_MEMORY_OBJECT_PINS_H_

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "memory/mutex.h"
#include "memory/page_run.h"
#include "memory/pinner.h"
#include "memory/vm_page.h"
#include "memory/wait_queue.h"
#include "memory/wire_budget.h"

namespace vmwire {

class PinTable;

struct PinExtent {
  enum class State {
    kPinning,    // Busy: the host is asked to pin it.
    kPinned,     // Some page of it is wired.
    kHeld,       // None is, but a hold on it keeps it pinned.
    kCached,     // None is, but the pin cache keeps it pinned.
    kReleasing,  // Busy: it is being let go.
    kDiscarding  // Busy: not pinned; its pages are being given back to the host.
  };

  uint64_t end = 0;  // One past its last page.
  State state = State::kPinning;
  uint64_t wired_pages = 0;
  PinTable* table = nullptr;  // Which pinned it, and lets it go; null when kDiscarding.
  std::optional<PinnedExtent> pin = std::nullopt;  // Nothing when kPinning or kDiscarding.
  WireBudget::Reservation charge = {};
  uint64_t cache_ticket = 0;  // When kCached: which of the cache's nodes is its.
  bool wired_again = false;   // It left the cache for a wiring since the cache last looked at it.

  // When busy: who is at it.
  std::thread::id busy_thread = std::this_thread::get_id();

  bool IsBusy() const {
    return state == State::kPinning || state == State::kReleasing || state == State::kDiscarding;
  }
};

struct ObjectPins {
  using Extents = std::map<uint64_t, PinExtent>;

  Mutex mutex;
  WaitQueue idle ABSL_GUARDED_BY(mutex);
  Extents extents ABSL_GUARDED_BY(mutex);
  // The last reference to the object is gone, but page wirings are left: it dies with the last.
  bool orphaned ABSL_GUARDED_BY(mutex) = false;

  // Waits until `busy` is not; it may then be gone. FailedPrecondition: a callback of the very call
  // that is at it asks. Cancelled, DeadlineExceeded: as `limits` say.
  absl::Status WaitForIdle(const PinExtent& busy, const WaitLimits& limits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (busy.busy_thread == std::this_thread::get_id()) {
      return absl::FailedPreconditionError(
          "a callback of a wiring asks for pages that this wiring is about to pin");
    }
    return idle.Wait(mutex, limits, "another thread pins or lets go of the pages");
  }

  // The first extent that ends after `page`.
  Extents::iterator FirstEndingAfter(uint64_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    auto it = extents.upper_bound(page);
    if (it != extents.begin() && std::prev(it)->second.end > page) --it;
    return it;
  }
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_OBJECT_PINS_H_
