#include "memory/page_array.h"

#include <sys/mman.h>

#include <new>

#include "memory/check.h"

namespace vmwire {

PageChunk::PageChunk(VmObject& object_of_pages, uint64_t first_page)
    : object(&object_of_pages), first(first_page) {
  for (uint32_t i = 0; i < kPages; ++i) {
    pages[i].state_.store(i << VmPage::kIndexShift | static_cast<uint32_t>(PageQueue::kNone),
                          std::memory_order_relaxed);
  }
}

PageChunk& PageChunk::Of(VmPage& page) {
  // SAFETY: every VmPage lies in a chunk, at the place that its index says.
  VmPage* first = &page - page.index();
  return *reinterpret_cast<PageChunk*>(reinterpret_cast<std::byte*>(first) -
                                       offsetof(PageChunk, pages));
}

PageArray::PageArray(VmObject& object, uint64_t pages)
    : object_(object), pages_(pages), groups_([pages]() -> GroupSlot* {
        VMWIRE_CHECK(pages <= kMaxPages, "an object has too many pages");
        const uint64_t groups = (pages / PageChunk::kPages + kChunksPerGroup) / kChunksPerGroup;
        void* memory = mmap(nullptr, groups * sizeof(GroupSlot), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        // SAFETY: zeroed memory is an array of null atomics on every ABI that this program is for.
        return static_cast<GroupSlot*>(memory);
      }()) {}

PageArray::~PageArray() {
  for (uint64_t i = 0; i < Groups(); ++i) {
    // Reading what was never written costs no memory: the host maps its page of zeros.
    Group* group = groups_[i].load(std::memory_order_relaxed);
    if (group == nullptr) continue;
    for (ChunkSlot& chunk : group->chunks) delete chunk.load(std::memory_order_relaxed);
    delete group;
  }
  VMWIRE_CHECK(munmap(groups_, Groups() * sizeof(GroupSlot)) == 0, "munmap of page groups failed");
}

uint64_t PageArray::Groups() const {
  return (pages_ / PageChunk::kPages + kChunksPerGroup) / kChunksPerGroup;
}

VmPage& PageArray::Materialize(uint64_t page) {
  return MaterializeChunk(page / PageChunk::kPages).pages[page % PageChunk::kPages];
}

PageChunk& PageArray::MaterializeChunk(uint64_t chunk) {
  GroupSlot& group_slot = groups_[chunk / kChunksPerGroup];
  Group* group = group_slot.load(std::memory_order_relaxed);
  if (group == nullptr) {
    group = new Group();
    group_slot.store(group, std::memory_order_release);
  }
  ChunkSlot& slot = group->chunks[chunk % kChunksPerGroup];
  PageChunk* found = slot.load(std::memory_order_relaxed);
  if (found == nullptr) {
    found = new PageChunk(object_, chunk * PageChunk::kPages);
    slot.store(found, std::memory_order_release);
  }
  return *found;
}

}  // namespace vmwire
