#include "memory/vm_page.h"

namespace vmwire {

VmPage::Step VmPage::WireAgain() {
  uint32_t old = ref_count_.load(std::memory_order_relaxed);
  do {
    if ((old & kBlockedBit) != 0) return Step::kBlocked;
    if ((old & kWireMask) == 0) return Step::kNeedsObject;
    if ((old & kWireMask) == kMaxWireCount) return Step::kAtLimit;
  } while (!ref_count_.compare_exchange_weak(old, old + 1, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
  return Step::kDone;
}

VmPage::Step VmPage::UnwireOneOfSeveral() {
  uint32_t old = ref_count_.load(std::memory_order_relaxed);
  do {
    if ((old & kWireMask) == 0) return Step::kNotWired;
    if ((old & kWireMask) == 1) return Step::kNeedsObject;
  } while (!ref_count_.compare_exchange_weak(old, old - 1, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
  return Step::kDone;
}

void VmPage::WireFirst() {
  StoreQueue(PageQueue::kNone);
  // Nobody else changes the word of a page that is not wired: a plain store will do.
  ref_count_.store((ref_count_.load(std::memory_order_relaxed) | kObjectBit) + 1,
                   std::memory_order_release);
}

bool VmPage::UnwireLast(PageQueue queue) {
  uint32_t old = ref_count_.load(std::memory_order_relaxed);
  do {
    if ((old & kWireMask) != 1) {
      // Somebody wired it again: theirs stays, and takes the place of the one given back.
      if (ref_count_.compare_exchange_weak(old, old - 1, std::memory_order_acq_rel)) return false;
      continue;
    }
    // Placed before the count drops, as whoever sees it unwired may look at its queue.
    StoreQueue(queue);
    if (ref_count_.compare_exchange_weak(old, old - 1, std::memory_order_seq_cst,
                                         std::memory_order_relaxed)) {
      return true;
    }
    StoreQueue(PageQueue::kNone);
  } while (true);
}

void VmPage::SetQueue(PageQueue queue) {
  if (wire_count() == 0) StoreQueue(queue);
}

void VmPage::ForceWireCountForTesting(uint32_t count) {
  ref_count_.store((ref_count_.load() & ~kWireMask) | (count & kWireMask));
}

void VmPage::SetBit(uint32_t bit, bool value) {
  if (value) {
    ref_count_.fetch_or(bit, std::memory_order_acq_rel);
  } else {
    ref_count_.fetch_and(~bit, std::memory_order_acq_rel);
  }
}

void VmPage::StoreQueue(PageQueue queue) {
  const uint32_t state = state_.load(std::memory_order_relaxed);
  if ((state & kQueueMask) == static_cast<uint32_t>(queue)) return;
  state_.store((state & ~kQueueMask) | static_cast<uint32_t>(queue), std::memory_order_relaxed);
}

}  // namespace vmwire
