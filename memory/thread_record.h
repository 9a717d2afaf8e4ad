// What this process keeps for each of its threads that reads without locks: whether it is inside a
// read section (read_section.h), and its hold slots (hold_table.h).
//
// A thread registers itself on first use and leaves when it ends. Records are never freed but
// handed to a later thread, with the hold slots in them: a hold outlives the thread that made it.
//
// Invariants: a record belongs to at most one thread. It is in the list from its first thread on.
// Thread safety: the atomic fields may be read by any thread; all else belongs to the record's own
// thread, and passes on with the record.
#ifndef VMWIRE_MEMORY_THREAD_RECORD_H_
#define VMWIRE_MEMORY_THREAD_RECORD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/asymmetric_fence.h"

namespace vmwire {

class HoldSlot;
struct HoldBlock;

// Two lines, since the adjacent one is fetched with it.
struct alignas(128) ThreadRecord {
  // The calling thread's record; registers the thread if it has none.
  static ThreadRecord& Current() {
    if (current_ == nullptr) [[unlikely]]
      Register();
    return *current_;
  }

  // The calling thread's record; null if it is not registered.
  static ThreadRecord* CurrentIfAny() { return current_; }

  // The head of the list of all records, those without a thread included.
  static const ThreadRecord* All() { return all_.load(kObserve); }

  // How many threads are registered now.
  static size_t Registered();

  // Of ReadGuard: odd while the thread is inside a read section, and another number in each.
  std::atomic<uint64_t> section = 0;
  bool InSection() const { return section.load(std::memory_order_relaxed) % 2 != 0; }

  // Of HoldTable: free slots that are known to be, and all blocks, newest first.
  HoldSlot* free_slots = nullptr;
  std::atomic<HoldBlock*> hold_blocks = nullptr;

  // The kernel's number of the thread (gettid).
  int32_t thread_id = 0;
  std::atomic<bool> taken = false;
  ThreadRecord* next = nullptr;  // Never changes once the record is in the list.

 private:
  static void Register();
  static void Leave(void* record);
  static ThreadRecord* Take();

  static inline constinit thread_local ThreadRecord* current_ = nullptr;
  static inline constinit std::atomic<ThreadRecord*> all_ = nullptr;
};

// A heavy fence against every other thread that is registered: none at all, but for one locked
// instruction, where there is no other. A thread that registers later sees what was stored before.
void FenceOtherThreads();

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_THREAD_RECORD_H_
