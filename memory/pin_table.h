// The host's side of wiring: the first wiring of a page reaches the host, the last leaves it.
//
// A page may be wired through several entries, maps and devices; the host sees only the first of
// them come and the last of them go. What one Wire pins is an extent. It stays pinned, and charged,
// until its last wired page goes: so a partial Unwire never asks the host for anything, and cannot
// fail. If a pin cache is asked for, an extent without wired pages stays pinned until the budget or
// the cache's capacity needs its bytes. If a hold is on it, it stays until the release.
//
// Lock order: an object's mutex, then the cache's and held_mutex_, then those of the hold table. No
// call of the host is made under any of them.
// Invariants: those of ObjectPins; the budget is charged the bytes of the pinned extents, once,
// whoever shares them.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_PIN_TABLE_H_
#define VMWIRE_MEMORY_PIN_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "memory/hold_table.h"
#include "memory/object_pins.h"
#include "memory/page_run.h"
#include "memory/pin_cache.h"
#include "memory/pinner.h"
#include "memory/vm_object.h"
#include "memory/vm_page.h"
#include "memory/wait_queue.h"
#include "memory/wire_budget.h"

namespace vmwire {

// How a PinTable::Wire is watched and stopped, and where it failed.
struct PinRequest {
  PinProgress progress = nullptr;  // Told the bytes of the run that were pinned so far.
  WaitLimits limits = {};          // Of waits for pages that another thread pins or lets go.
  std::optional<uint64_t> failed_page = {};  // Out: the object's page that could not be wired.
  bool over_limit = false;                   // Out: it was the budget that refused.
  bool count_maximum = false;                // Out: that page has kMaxWireCount wirings.
};

class PinTable final : public ReleaseListener {
 public:
  // REQUIRES: both outlive the table.
  PinTable(Pinner& pinner, WireBudget& budget, const PinCacheOptions& cache = {});
  PinTable(const PinTable&) = delete;
  PinTable& operator=(const PinTable&) = delete;
  // Lets go of what is cached. REQUIRES: nothing is wired or held.
  ~PinTable() override;

  PinLevel level() const { return pinner_.level(); }
  const WireBudget& budget() const { return budget_; }
  PinCacheStats cache_stats() const { return cache_.stats(); }

  // Adds one wiring to each page of `run`, pinning what is not pinned yet. OutOfRange: the run
  // leaves the object. ResourceExhausted: the budget, the host, or a page that has kMaxWireCount
  // wirings. FailedPrecondition: another table has pinned a page at a lower level. Cancelled,
  // DeadlineExceeded: `request` said so. Else as Pinner::Pin. On failure nothing is changed.
  absl::Status Wire(VmObject& object, const PageRun& run, PinRequest& request);

  // Takes one wiring from each page of `run`; a page whose last it was goes on `queue`. Extents
  // that have no wired page left are let go by the table that pinned them. Returns how many pages
  // are not wired any more. REQUIRES: each page of `run` is wired.
  static uint64_t Unwire(VmObject& object, const PageRun& run,
                         PageQueue queue = PageQueue::kActive);

  // How many pages of `run`, and in how many runs of their own, the host has not pinned yet; and of
  // the others, those that nothing but the pin cache keeps pinned.
  struct Missing {
    uint64_t pages = 0;
    uint64_t runs = 0;
    uint64_t cached_pages = 0;
    uint64_t cached_runs = 0;
  };
  static Missing MissingIn(VmObject& object, const PageRun& run);

  // Frees `bytes` of the budget, if the cache can, by letting go of what nobody has wired.
  void Reclaim(uint64_t bytes) { cache_.Reclaim(bytes); }
  // Lets go of everything that is cached.
  void DropCache() { cache_.Reclaim(UINT64_MAX); }
  // ResourceExhausted unless `bytes` in `extents` new extents fit into the budget and the pinner's
  // tables, counting what the cache would give back.
  absl::Status CheckFits(uint64_t bytes, uint64_t extents) const;

  // Bytes that this table has pinned, each once.
  uint64_t pinned_bytes() const { return pinned_bytes_.load(std::memory_order_relaxed); }

  // Whether the host has the page pinned, be it wired, cached, held, or in a longer extent.
  static bool IsPinned(VmObject& object, uint64_t page);
  // The registered buffer that holds the page, for the rings of devices; nullopt if none does.
  static std::optional<PinnedBuffer> BufferOf(VmObject& object, uint64_t page);

  void OnHoldReleased() override;

 private:
  friend class PinCache;
  friend class VmObject;
  using Extents = ObjectPins::Extents;

  // `pins` is always that of `object`: a name of its own for the analysis of its mutex.

  // One step of Wire: wires pages of [page, end) from `page` on, and returns the first that is left
  // to do. `done` counts the bytes that had to be pinned.
  absl::StatusOr<uint64_t> WireSome(VmObject& object, uint64_t page, uint64_t end,
                                    PinRequest& request, uint64_t& done);
  absl::StatusOr<uint64_t> WirePinned(VmObject& object, ObjectPins& pins, Extents::iterator extent,
                                      const PageRun& run, PinRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(pins.mutex);
  // Pins `gap`, whose extent is kPinning, and wires it; or takes the extent away again.
  absl::Status PinGap(VmObject& object, const PageRun& gap, PinRequest& request,
                      uint64_t done_before);
  absl::StatusOr<PinnedExtent> AskHost(VmObject& object, const PageRun& gap, PinRequest& request,
                                       WireBudget::Reservation& charge, uint64_t done_before);
  // A simulated object brings its own.
  Pinner& PinnerFor(const VmObject& object) const;

  // An extent that is kReleasing, to be let go of without the object's mutex.
  struct Leaving {
    PinTable* table;
    uint64_t first;
    PinnedExtent pin;
  };
  using Caches = absl::InlinedVector<PinTable*, 1>;
  // Takes a wiring from each page of `run`, and decides for each extent without a wired page what
  // becomes of it: cached (`cached_by` are those that did), held, or leaving. `last` counts the
  // pages that are not wired any more.
  static std::vector<Leaving> TakeUnwired(VmObject& object, ObjectPins& pins, const PageRun& run,
                                          PageQueue queue, Caches& cached_by, uint64_t& last)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(pins.mutex);
  // True: a hold is on the extent, which is kHeld now. REQUIRES: FenceOtherThreads was called since
  // the counts of its pages dropped.
  bool KeepIfHeld(VmObject& object, ObjectPins& pins, Extents::value_type& extent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(pins.mutex);
  static Leaving BeginRelease(Extents::iterator extent);
  // An orphan dies with the last extent of it.
  static void LetGo(VmObject& object, const std::vector<Leaving>& leaving);
  // Lets go of an extent that the cache has given up. False: it is wired again, or held.
  static bool ReleaseCached(VmObject& object, uint64_t first, uint64_t ticket);
  // Lets go of the extents of the object that no hold keeps any more.
  void ReleaseUnheld(VmObject& object);

  Pinner& pinner_;
  WireBudget& budget_;
  PinCache cache_;
  std::atomic<uint64_t> pinned_bytes_ = 0;
  Mutex held_mutex_;
  // The objects of this table's kHeld extents, each once, some perhaps without need; while there is
  // one, this table listens for releases.
  std::vector<std::weak_ptr<VmObject>> held_ ABSL_GUARDED_BY(held_mutex_);
  bool listening_ ABSL_GUARDED_BY(held_mutex_) = false;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PIN_TABLE_H_
