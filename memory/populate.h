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
  // How much is faulted in at a time: small enough that a stop is prompt (some milliseconds), large
  // enough that the calls cost nothing. Whole huge pages.
  uint64_t chunk_bytes = 8 * kHugePageSize;
};

// Faults every page of `range` in for writing. The progress of `control` is called on the calling
// thread after each chunk that this thread did, and if others helped once more at the end, with the
// whole size.
// Cancelled: the progress said stop. Else an error of HostMemory::Advise (a transient Unavailable
// is tried again), whose first page `control` is told if it asks: then a chunk that failed is gone
// through page by page. On failure a part may be resident.
absl::Status Populate(HostMemory& host, const HostRange& range, const PopulateOptions& options,
                      const PinControl& control);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_POPULATE_H_
