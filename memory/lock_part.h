// The lock half of a pinner: locks extents, and counts them against the mappings that the process
// may have.
//
// Giving a part of a locked range back may split its mapping in three, and the kernel refuses that
// at vm.max_map_count: so there is a limit on locked extents, met when one is taken and never when
// one is given back.
//
// Invariants: the kernel's locks do not nest, so no two extents overlap.
// Thread safety: thread-safe. The mutex is a leaf, never held over a call of the host.
#ifndef VMWIRE_MEMORY_LOCK_PART_H_
#define VMWIRE_MEMORY_LOCK_PART_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "memory/host_memory.h"
#include "memory/mutex.h"
#include "memory/page_range.h"

namespace vmwire {

// How many extents can be locked so that giving back any of them, in any order, stays below
// `max_map_count` mappings of the process.
uint64_t MaxLockedExtents(uint64_t max_map_count);

class LockPart {
 public:
  // `max_extents`: how many extents may be locked at a time. REQUIRES: `host` outlives this object.
  LockPart(HostMemory& host, uint64_t max_extents) : host_(host), max_extents_(max_extents) {}

  // Locks what is resident of the range now, and the rest as it is faulted in.
  // ResourceExhausted: vm.max_map_count, RLIMIT_MEMLOCK or memory. PermissionDenied: RLIMIT_MEMLOCK
  // is 0. Unavailable: the host kept asking to try again. On failure nothing is locked.
  absl::Status Lock(const HostRange& range) ABSL_LOCKS_EXCLUDED(mutex_);
  // REQUIRES: `range` is one that Lock locked.
  void Unlock(const HostRange& range) ABSL_LOCKS_EXCLUDED(mutex_);

  uint64_t FreeExtents() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool TakeExtent() ABSL_LOCKS_EXCLUDED(mutex_);

  HostMemory& host_;
  const uint64_t max_extents_;
  mutable Mutex mutex_;
  uint64_t extents_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_LOCK_PART_H_
