// Faults host memory in, in chunks, with more than one thread where that is faster.
//
// Invariants: a chunk begins and ends on a 2 MiB boundary but for the first and the last, so that
// no huge page is faulted by two threads.
// Thread safety: no state.
#ifndef VMWIRE_MEMORY_POPULATE_H_
#define VMWIRE_MEMORY_POPULATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "memory/host_memory.h"
#include "memory/page_range.h"
#include "memory/pinner.h"

namespace vmwire {

struct PopulateOptions {
  // At most this many threads, the caller's own among them; 1 (or 0) faults in on the calling
  // thread only.
  uint32_t max_threads = 1;
};

// Faults every page of `range` in for writing. `progress` is called on the calling thread after
// each chunk that this thread did, and if others helped once more at the end, with the whole size.
// Cancelled: `progress` said stop. Else the first error of HostMemory::Advise (a signal's
// Unavailable is tried again). On failure a part may be resident.
absl::Status Populate(HostMemory& host, const HostRange& range, const PopulateOptions& options,
                      const PinProgress& progress);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_POPULATE_H_
