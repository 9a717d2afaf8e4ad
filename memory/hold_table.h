// Holds: a hold keeps pages that are already wired where they are, while a transfer runs, at the
// cost of a few stores to lines of the calling thread (hazard slots).
//
//   hold:    look the pages up; Publish; look at them again (validate); if not as before: Release
//   writer:  change what a hold validates (translation unpublished, wire count 0);
//            FirstHolder: someone? then put it off (HoldReleases) or refuse it or wait (HoldWatch)
//
// Why a writer never misses a hold: Publish ends with a light fence, FirstHolder begins with a
// heavy one (asymmetric_fence.h). Either FirstHolder sees the slot, or the validation comes after
// the writer's change, sees it, and gives the hold up. Look-up and validation use kObserve loads,
// the change kPublish stores or seq_cst read-modify-writes.
//
// FirstHolder reads a slot field by field while its thread may change it. A hold that was published
// before the fence and lasts until the look is over does not change: it is read as it is. So a slot
// that is read torn was released, published or both during the look. That a hold was released
// during the look makes missing it right; one published during it finds the change when it
// validates. So there are false positives (what is told may be part of two holds), but no false
// negatives. Each field is a release store: whoever reads a field of a slot's next hold comes after
// all that the released hold did.
//
// A hold may be released by any thread. The slots of a thread that ended stay, and go on to a later
// thread with its record (thread_record.h).
//
// Invariants: a slot with an object is held; one without is free. Blocks of slots are never freed.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_HOLD_TABLE_H_
#define VMWIRE_MEMORY_HOLD_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "memory/asymmetric_fence.h"
#include "memory/check.h"
#include "memory/hold_watch.h"
#include "memory/page_range.h"
#include "memory/page_run.h"
#include "memory/thread_record.h"

namespace vmwire {

class VmObject;

// One hold. A line of its own: what its thread writes no other thread's hold shares.
class alignas(64) HoldSlot {
 private:
  friend class HoldTable;
  friend struct HoldBlock;

  std::atomic<const VmObject*> object_ = nullptr;
  std::atomic<const void*> map_ = nullptr;
  std::atomic<uint64_t> guest_start_ = 0;
  std::atomic<uint64_t> first_page_ = 0;
  std::atomic<uint64_t> pages_ = 0;
  std::atomic<int32_t> thread_id_ = 0;
  ThreadRecord* owner_ = nullptr;  // Never changes.
  HoldSlot* next_free_ = nullptr;  // Of the owner.
};
static_assert(sizeof(HoldSlot) == 64);

// Who holds what.
struct Holder {
  int32_t thread_id;  // The kernel's number (gettid) of the thread that published the hold.
  GuestRange guest;
  PageRun pages;
};

// "thread 1234 holds guest memory [0x0, 0x1000)"
std::string ToString(const Holder& holder);

// The holds of the whole process.
class HoldTable {
 public:
  // Holds the pages of `object` from `first_page`, as many as `guest` has, which `map` has at
  // `guest`. What is held is valid only once the caller has looked afterwards that it is still as
  // it was before; else the caller must Release it. `map` and `object` are compared, never
  // used; `map` may be null.
  // REQUIRES: `object` is not null.
  static HoldSlot* Publish(const void* map, const GuestRange& guest, const VmObject* object,
                           uint64_t first_page) {
    ThreadRecord& self = ThreadRecord::Current();
    HoldSlot* slot = self.free_slots;
    if (slot != nullptr) [[likely]] {
      self.free_slots = slot->next_free_;
    } else {
      slot = NewSlot(self);
    }
    slot->map_.store(map, std::memory_order_release);
    slot->guest_start_.store(guest.start().value(), std::memory_order_release);
    slot->first_page_.store(first_page, std::memory_order_release);
    slot->pages_.store(guest.pages(), std::memory_order_release);
    slot->thread_id_.store(self.thread_id, std::memory_order_release);
    slot->object_.store(object, kPublish);
    LightFence();
    return slot;
  }

  // Ends a hold, in any thread, and tells who waits for releases. Our own bug if `slot` is free.
  // REQUIRES: no lock of memory/ is held, and the calling thread is in no read section: listeners
  // may be called.
  static void Release(HoldSlot* slot) {
    ThreadRecord& self = ThreadRecord::Current();
    VMWIRE_CHECK(slot->object_.load(std::memory_order_relaxed) != nullptr,
                 "a hold is released twice");
    VMWIRE_CHECK(!self.InSection(), "a hold is released inside a read section");
    // Behind the store the slot may be another thread's hold already.
    const bool own = slot->owner_ == &self;
    slot->object_.store(nullptr, kPublish);
    if (own) {
      slot->next_free_ = self.free_slots;
      self.free_slots = slot;
    }
    LightFence();
    if (HoldReleases::Wanted()) [[unlikely]]
      HoldReleases::Announce();
  }

  // Some hold of a page in `pages` of `object`, or of a page in `range` of `map`. Begins with a
  // heavy fence (1 us or more, nothing if no other thread is registered).
  static std::optional<Holder> FirstHolder(const VmObject* object, const PageRun& pages);
  static std::optional<Holder> FirstHolder(const void* map, const GuestRange& range);

  // The same for callers that have fenced since their change: by HoldWatch, AddListener,
  // SynchronizeReaders or another FirstHolder.
  static std::optional<Holder> FirstHolderFenced(const VmObject* object, const PageRun& pages);
  static std::optional<Holder> FirstHolderFenced(const void* map, const GuestRange& range);

 private:
  static HoldSlot* NewSlot(ThreadRecord& self);
  static void CollectFree(ThreadRecord& self);
  static HoldSlot* TakeUnused(HoldBlock* block, ThreadRecord& self);
  template <typename Wanted>
  static std::optional<Holder> Find(const Wanted& wanted);
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_HOLD_TABLE_H_
