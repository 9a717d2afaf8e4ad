#include "memory/c_api/handle_table.h"

namespace vmwire {

uint64_t HandleSlots::Add(void* value) {
  const MutexLock lock(mutex_);
  uint64_t index = slots_;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else if (slots_ == kMaxSlots) {
    return 0;
  } else {
    if (index % kChunkSlots == 0) {
      chunks_[index / kChunkSlots].store(new Chunk, std::memory_order_release);
    }
    ++slots_;
  }
  Slot& slot = *SlotAt(index);
  slot.uses = (slot.uses + 1) & kUseMask;
  const uint64_t handle =
      (static_cast<uint64_t>(kind_) << kKindShift) | (slot.uses << kUseShift) | index;
  slot.value.store(value, std::memory_order_relaxed);
  slot.handle.store(handle, std::memory_order_release);
  return handle;
}

void* HandleSlots::Find(uint64_t handle) const {
  Slot* const slot = SlotAt(handle % kMaxSlots);
  if (slot == nullptr || handle == 0 || slot->handle.load(std::memory_order_acquire) != handle) {
    return nullptr;
  }
  return slot->value.load(std::memory_order_relaxed);
}

void HandleSlots::Remove(uint64_t handle) {
  const MutexLock lock(mutex_);
  const uint64_t index = handle % kMaxSlots;
  SlotAt(index)->handle.store(0, std::memory_order_release);
  free_.push_back(static_cast<uint32_t>(index));
}

HandleSlots::Slot* HandleSlots::SlotAt(uint64_t index) const {
  Chunk* const chunk = chunks_[index / kChunkSlots].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : &chunk->slots[index % kChunkSlots];
}

}  // namespace vmwire
