// Whether a device and the CPU see the same bytes in a page: through its registered buffer, which
// is what the frame that was pinned holds, and through its address.
//
// Invariants: when it returns, the page has the bytes that it had before, however it went.
// Thread safety: nobody else writes the page, or does I/O to it, meanwhile.
#ifndef VMWIRE_MEMORY_DMA_ROUND_TRIP_H_
#define VMWIRE_MEMORY_DMA_ROUND_TRIP_H_

#include <cstdint>

#include "absl/status/status.h"
#include "memory/address.h"
#include "memory/host_memory.h"
#include "memory/pinner.h"

namespace vmwire {

// Reads the page as a device and compares; writes a pattern made of `seed` as a device, and reads
// it as the CPU; writes another as the CPU, and reads it as a device. FailedPrecondition: the two
// do not see the same, or the buffer does not hold the page; the message says which, without naming
// the page. ResourceExhausted: no file or memory for the transfers. REQUIRES: `page` is
// page-aligned, and in `buffer.range`.
absl::Status DmaRoundTrip(HostMemory& host, const PinnedBuffer& buffer, HostAddress page,
                          uint64_t seed);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_DMA_ROUND_TRIP_H_
