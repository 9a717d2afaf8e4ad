// The VmPages of one object, made in chunks of 512 (2 MiB of memory) when the first page of a chunk
// is needed: memory that nobody wired costs nothing here, wired memory 8 bytes a page.
//
// Invariants: a chunk, once made, stays where it is until the array dies.
// Thread safety: Find, AllWired and the pages themselves may be used without a lock; Materialize
// needs the object's mutex.
#ifndef VMWIRE_MEMORY_PAGE_ARRAY_H_
#define VMWIRE_MEMORY_PAGE_ARRAY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/page_run.h"
#include "memory/vm_page.h"

namespace vmwire {

class VmObject;

struct PageChunk {
  static constexpr uint64_t kPages = 512;

  PageChunk(VmObject& object_of_pages, uint64_t first_page);

  VmObject* const object;
  const uint64_t first;
  VmPage pages[kPages];

  static PageChunk& Of(VmPage& page);
};

// The object of a page, and its place there.
inline VmObject& ObjectOf(VmPage& page) { return *PageChunk::Of(page).object; }
inline uint64_t PageIndexOf(VmPage& page) { return PageChunk::Of(page).first + page.index(); }

class PageArray {
 public:
  // The most pages that an object can have: 2^52 bytes, what a guest can address.
  static constexpr uint64_t kMaxPages = uint64_t{1} << 40;

  // REQUIRES: pages <= kMaxPages.
  PageArray(VmObject& object, uint64_t pages);
  PageArray(const PageArray&) = delete;
  PageArray& operator=(const PageArray&) = delete;
  ~PageArray();

  uint64_t size() const { return pages_; }

  // Null if nobody needed a page of its chunk yet. REQUIRES: page < size().
  VmPage* Find(uint64_t page) const;
  // REQUIRES: page < size(); the object's mutex is held.
  VmPage& Materialize(uint64_t page);

  // True if every page of `run` is wired. For holds: see hold_table.h.
  bool AllWired(const PageRun& run) const;

  uint32_t WireCount(uint64_t page) const {
    const VmPage* found = page < pages_ ? Find(page) : nullptr;
    return found == nullptr ? 0 : found->wire_count();
  }

  // Calls visit(page index, VmPage&) for the pages of `run` that exist, ascending.
  template <typename Visit>
  void ForEach(const PageRun& run, Visit visit) const {
    for (uint64_t page = run.first; page < run.end;) {
      const PageChunk* chunk = FindChunk(page / PageChunk::kPages);
      const uint64_t end = EndInChunk(page, run.end);
      if (chunk != nullptr) {
        for (uint64_t i = page; i < end; ++i) {
          visit(i, const_cast<VmPage&>(chunk->pages[i % PageChunk::kPages]));
        }
      }
      page = end;
    }
  }
  // The same for all pages of `run`, making those that do not exist. REQUIRES: as Materialize.
  template <typename Visit>
  void ForEachMaterialized(const PageRun& run, Visit visit) {
    for (uint64_t page = run.first; page < run.end;) {
      PageChunk& chunk = MaterializeChunk(page / PageChunk::kPages);
      const uint64_t end = EndInChunk(page, run.end);
      for (uint64_t i = page; i < end; ++i) visit(i, chunk.pages[i % PageChunk::kPages]);
      page = end;
    }
  }

 private:
  static constexpr uint64_t kChunksPerGroup = 512;
  using ChunkSlot = std::atomic<PageChunk*>;
  struct Group {
    ChunkSlot chunks[kChunksPerGroup] = {};
  };
  using GroupSlot = std::atomic<Group*>;

  static uint64_t EndInChunk(uint64_t page, uint64_t end) {
    const uint64_t chunk_end = (page / PageChunk::kPages + 1) * PageChunk::kPages;
    return chunk_end < end ? chunk_end : end;
  }
  uint64_t Groups() const;
  PageChunk* FindChunk(uint64_t chunk) const {
    const Group* group = groups_[chunk / kChunksPerGroup].load(std::memory_order_acquire);
    if (group == nullptr) return nullptr;
    return group->chunks[chunk % kChunksPerGroup].load(std::memory_order_acquire);
  }
  PageChunk& MaterializeChunk(uint64_t chunk);

  VmObject& object_;
  const uint64_t pages_;
  // Zeroed memory of the host, of which only what is used becomes resident.
  GroupSlot* const groups_;
};

inline VmPage* PageArray::Find(uint64_t page) const {
  PageChunk* chunk = FindChunk(page / PageChunk::kPages);
  return chunk == nullptr ? nullptr : &chunk->pages[page % PageChunk::kPages];
}

inline bool PageArray::AllWired(const PageRun& run) const {
  for (uint64_t page = run.first; page < run.end;) {
    const PageChunk* chunk = FindChunk(page / PageChunk::kPages);
    if (chunk == nullptr) return false;
    const uint64_t end = EndInChunk(page, run.end);
    for (; page < end; ++page) {
      if (chunk->pages[page % PageChunk::kPages].ObservedWireCount() == 0) return false;
    }
  }
  return true;
}

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PAGE_ARRAY_H_
