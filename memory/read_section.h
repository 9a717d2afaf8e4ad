// Read sections (RCU): what a reader finds inside one stays allocated until it is over, although
// writers unpublish and retire it meanwhile.
//
//   reader: ReadGuard guard; p = pointer.load(kObserve); use *p
//   writer: pointer.store(other, kPublish); SynchronizeReaders(); delete old    (or: RetireList)
//
// Why it is right: a section begins with a store and a light fence, SynchronizeReaders with a heavy
// one (asymmetric_fence.h). So either the writer sees that the section has begun, and waits for its
// end; or each load of the section comes after the writer's store, and finds nothing old. The end
// of a section is a release store that the waiting writer acquires.
//
// A section costs two stores, no locked instruction, and writes no line that another thread writes.
//
// Invariants: sections nest; only the outermost counts.
// Thread safety: thread-safe. Inside a section take no lock and wait for nothing: writers wait.
#ifndef VMWIRE_MEMORY_READ_SECTION_H_
#define VMWIRE_MEMORY_READ_SECTION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/asymmetric_fence.h"
#include "memory/thread_record.h"

namespace vmwire {

// The calling thread is inside a read section for as long as this lives. On the stack only, and
// destroyed in the reverse order of making.
class [[nodiscard]] ReadGuard {
 public:
  ReadGuard()
      : record_(ThreadRecord::Current()), before_(record_.section.load(std::memory_order_relaxed)) {
    record_.section.store(before_ | 1, kPublish);
    LightFence();
  }
  ReadGuard(const ReadGuard&) = delete;
  ReadGuard& operator=(const ReadGuard&) = delete;
  // REQUIRES: the thread that made it; every guard it made since is gone.
  ~ReadGuard() {
    // An inner guard leaves the thread inside the section of the outer one.
    const bool inner = before_ % 2 != 0;
    record_.section.store(inner ? before_ : before_ + 2, std::memory_order_release);
  }
  static void* operator new(size_t) = delete;

 private:
  ThreadRecord& record_;
  const uint64_t before_;
};

// Returns once each section that had begun, in any thread, is over. REQUIRES: the calling thread is
// inside none; it would wait for itself.
void SynchronizeReaders();

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_READ_SECTION_H_
