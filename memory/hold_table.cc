#include "memory/hold_table.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_format.h"

namespace vmwire {

// Slots of one thread's record.
struct HoldBlock {
  HoldBlock(size_t slot_count, HoldBlock* older)
      : capacity(slot_count), next(older), slots(std::make_unique<HoldSlot[]>(slot_count)) {}

  const size_t capacity;
  HoldBlock* const next;
  // How many were ever in use: the first ones. So few holds are quick to look through.
  std::atomic<size_t> used = 0;
  const std::unique_ptr<HoldSlot[]> slots;
};

namespace {

constexpr size_t kFirstBlockSlots = 64;

}  // namespace

HoldSlot* HoldTable::TakeUnused(HoldBlock* block, ThreadRecord& self) {
  if (block == nullptr) return nullptr;
  const size_t used = block->used.load(std::memory_order_relaxed);
  if (used == block->capacity) return nullptr;
  HoldSlot* const slot = &block->slots[used];
  slot->owner_ = &self;
  // Before the hold is published: who fences after that finds the slot.
  block->used.store(used + 1, kPublish);
  return slot;
}

// Slots that other threads released are in no list: they are found here, all at once. Each search
// through n slots gains n / 4 or more, by a larger block if need be; so a slot costs O(1).
HoldSlot* HoldTable::NewSlot(ThreadRecord& self) {
  HoldBlock* const newest = self.hold_blocks.load(std::memory_order_relaxed);
  if (HoldSlot* slot = TakeUnused(newest, self); slot != nullptr) return slot;
  CollectFree(self);
  if (self.free_slots != nullptr) {
    HoldSlot* const slot = self.free_slots;
    self.free_slots = slot->next_free_;
    return slot;
  }
  return TakeUnused(self.hold_blocks.load(std::memory_order_relaxed), self);
}

void HoldTable::CollectFree(ThreadRecord& self) {
  HoldBlock* const newest = self.hold_blocks.load(std::memory_order_relaxed);
  size_t total = 0;
  size_t free = 0;
  for (HoldBlock* block = newest; block != nullptr; block = block->next) {
    total += block->capacity;
    for (size_t i = 0; i < block->capacity; ++i) {
      HoldSlot& slot = block->slots[i];
      if (slot.object_.load(std::memory_order_acquire) != nullptr) continue;
      slot.next_free_ = self.free_slots;
      self.free_slots = &slot;
      ++free;
    }
  }
  if (total == 0 || free < total / 4) {
    self.hold_blocks.store(new HoldBlock(std::max(kFirstBlockSlots, total), newest), kPublish);
  }
}

template <typename Wanted>
std::optional<Holder> HoldTable::Find(const Wanted& wanted) {
  for (const ThreadRecord* record = ThreadRecord::All(); record != nullptr; record = record->next) {
    for (const HoldBlock* block = record->hold_blocks.load(kObserve); block != nullptr;
         block = block->next) {
      const size_t used = block->used.load(kObserve);
      for (size_t i = 0; i < used; ++i) {
        const HoldSlot& slot = block->slots[i];
        const VmObject* const object = slot.object_.load(kObserve);
        if (object == nullptr) continue;
        const void* const map = slot.map_.load(std::memory_order_acquire);
        const GuestAddress start(slot.guest_start_.load(std::memory_order_acquire));
        const uint64_t first = slot.first_page_.load(std::memory_order_acquire);
        const uint64_t pages = slot.pages_.load(std::memory_order_acquire);
        const int32_t thread_id = slot.thread_id_.load(std::memory_order_acquire);
        // Torn parts of two holds need not make a range; see the header for why it may be left out.
        const auto guest = GuestRange::Create(start, pages * kPageSize);
        if (!guest.ok()) continue;
        const Holder holder = {
            .thread_id = thread_id, .guest = *guest, .pages = {first, first + pages}};
        if (wanted(map, object, holder)) return holder;
      }
    }
  }
  return std::nullopt;
}

std::optional<Holder> HoldTable::FirstHolder(const VmObject* object, const PageRun& pages) {
  FenceOtherThreads();
  return FirstHolderFenced(object, pages);
}

std::optional<Holder> HoldTable::FirstHolder(const void* map, const GuestRange& range) {
  FenceOtherThreads();
  return FirstHolderFenced(map, range);
}

std::optional<Holder> HoldTable::FirstHolderFenced(const VmObject* object, const PageRun& pages) {
  return Find([&](const void*, const VmObject* held, const Holder& holder) {
    return held == object && holder.pages.Overlaps(pages);
  });
}

std::optional<Holder> HoldTable::FirstHolderFenced(const void* map, const GuestRange& range) {
  return Find([&](const void* held_in, const VmObject*, const Holder& holder) {
    return held_in == map && holder.guest.Overlaps(range);
  });
}

std::string ToString(const Holder& holder) {
  return absl::StrFormat("thread %d holds guest memory %s", holder.thread_id,
                         holder.guest.ToString());
}

}  // namespace vmwire
