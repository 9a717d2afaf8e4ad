// What is known of one page of an object: vm_page_wire(9) of FreeBSD, in 8 bytes.
//
// The ref_count word is FreeBSD's: bit 31 says that the page belongs to an object (it is resident),
// bit 30 that somebody is taking the page away, so that it cannot be wired through a mapping; bits
// 0 to 29 count its wirings. The wire count is the only count of wirings that there is of a page.
//
// Invariants: a wire count goes from 0 to 1 and from 1 to 0 under the mutex of the page's object
// only, since these steps reach the host; above that it changes without a lock. A wired page is on
// no queue. A page is never forgotten while it is wired, even if its object is.
// Thread safety: thread-safe, but for the functions that name the object's mutex.
#ifndef VMWIRE_MEMORY_VM_PAGE_H_
#define VMWIRE_MEMORY_VM_PAGE_H_

#include <atomic>
#include <cstdint>

#include "memory/asymmetric_fence.h"

namespace vmwire {

// The highest wire count of a page, as in vm_page_wire(9): 30 bits.
inline constexpr uint32_t kMaxWireCount = (uint32_t{1} << 30) - 1;

// PQ_*: the values are FreeBSD's.
enum class PageQueue : uint8_t {
  kInactive = 0,
  kActive = 1,
  kLaundry = 2,
  kUnswappable = 3,
  kNone = 255,
};

class VmPage {
 public:
  VmPage(const VmPage&) = delete;
  VmPage& operator=(const VmPage&) = delete;

  uint32_t wire_count() const { return ref_count_.load(std::memory_order_acquire) & kWireMask; }
  // The same for a thread that published a hold before: see hold_table.h.
  uint32_t ObservedWireCount() const { return ref_count_.load(kObserve) & kWireMask; }
  bool HasObject() const { return (ref_count_.load(std::memory_order_acquire) & kObjectBit) != 0; }
  bool IsBlocked() const { return (ref_count_.load(std::memory_order_acquire) & kBlockedBit) != 0; }
  // The queue that the page is on; kNone while it is wired.
  PageQueue queue() const {
    return static_cast<PageQueue>(state_.load(std::memory_order_relaxed) & kQueueMask);
  }
  // Its place among the pages of its chunk: see page_array.h.
  uint32_t index() const { return state_.load(std::memory_order_relaxed) >> kIndexShift; }

  enum class Step {
    kDone,
    kNeedsObject,  // The first or the last wiring: to be done under the object's mutex.
    kBlocked,
    kAtLimit,
    kNotWired,
  };
  // Adds a wiring to those that there are.
  Step WireAgain();
  // Takes one of several wirings.
  Step UnwireOneOfSeveral();

  // The first and the last wiring. REQUIRES: the object's mutex is held; the count is 0.
  void WireFirst();
  // False: another wiring came meanwhile, which has taken this one's place.
  // REQUIRES: the object's mutex is held; the page is wired.
  bool UnwireLast(PageQueue queue);

  // REQUIRES, of all of these: the object's mutex is held.
  void SetObject(bool has_object) { SetBit(kObjectBit, has_object); }
  void SetBlocked(bool blocked) { SetBit(kBlockedBit, blocked); }
  // No effect on a page that is wired.
  void SetQueue(PageQueue queue);

  // For tests of the limits only.
  void ForceWireCountForTesting(uint32_t count);

 private:
  friend struct PageChunk;
  static constexpr uint32_t kObjectBit = uint32_t{1} << 31;
  static constexpr uint32_t kBlockedBit = uint32_t{1} << 30;
  static constexpr uint32_t kWireMask = kBlockedBit - 1;
  static constexpr uint32_t kQueueMask = 0xff;
  static constexpr uint32_t kIndexShift = 16;

  VmPage() = default;
  void SetBit(uint32_t bit, bool value);
  void StoreQueue(PageQueue queue);

  std::atomic<uint32_t> ref_count_ = 0;
  std::atomic<uint32_t> state_ = static_cast<uint32_t>(PageQueue::kNone);
};
static_assert(sizeof(VmPage) == 8);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_VM_PAGE_H_
