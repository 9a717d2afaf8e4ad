// The mechanism of pinning: makes host memory resident at a level, and lets it go again.
//
//   level       promise                        mechanism
//   kResident   never reclaimed; the frame     mlock2(ONFAULT), then populate       MlockPinner
//               may still move (compaction,
//               huge-page collapse, KSM)
//   kPinned     the frame does not move        populate, then a registered          UringPinner
//                                              io_uring buffer (a long-term pin)
//
// mlock is not a pin, and a pin is not a lock: see the README of this folder. What a host cannot
// give is an error that names it, never a lower level.
//
// Invariants: Pin has pinned the whole range, or nothing. Unpin cannot fail. A pinner does not
// count: it sees each range once, from PinTable.
// Thread safety: thread-compatible.
#ifndef VMWIRE_MEMORY_PINNER_H_
#define VMWIRE_MEMORY_PINNER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/page_range.h"

namespace vmwire {

enum class PinLevel { kResident, kPinned };

// "resident", "pinned".
std::string ToString(PinLevel level);

// Told the bytes done so far of one Pin, on the calling thread; false asks to stop.
using PinProgress = std::function<bool(uint64_t bytes_done)>;

// A range that a Pinner has pinned: what Unpin takes back. `buffers` are the registered buffers
// that hold it, in ascending order of address, each kMaxBufferBytes but the last; none at
// kResident.
struct PinnedExtent {
  HostRange host;
  std::vector<uint32_t> buffers;
};

class Pinner {
 public:
  virtual ~Pinner() = default;

  virtual PinLevel level() const = 0;

  // Faults `range` in and pins it.
  // ResourceExhausted: RLIMIT_MEMLOCK, memory or buffer slots. PermissionDenied, Unimplemented: the
  // host does not give this level. Cancelled: `progress` said stop. The message names the range and
  // the remedy. On failure nothing is pinned; pages may stay resident.
  virtual absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinProgress& progress) = 0;

  virtual void Unpin(const PinnedExtent& extent) = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PINNER_H_
