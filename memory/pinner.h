// The mechanism of pinning: makes host memory resident at a level, and lets it go again.
//
//   level       promise                        mechanism
//   kResident   never reclaimed; the frame     mlock2(ONFAULT), then populate       MlockPinner
//               may still move (compaction,
//               huge-page collapse, KSM)
//   kPinned     the frame does not move        a registered io_uring buffer (a      UringPinner
//                                              long-term pin)
//   kGuarded    both, and what would take the  mlock2(ONFAULT), then a registered   GuardedPinner
//               frame from its address is      buffer
//               refused
//
// An mlock is not a pin, and a pin is not a lock. What becomes of a pinned range when the kernel,
// or this process, disturbs it (pin_promises.h has the same as data, with the reasons):
//
//                   anonymous           memfd               hugetlb memfd       guest_memfd
//   kResident / kPinned / kGuarded:
//   MADV_PAGEOUT    R / K / R           R / K / R           R / R / R           R / K / R
//   MADV_DONTNEED   R / - / R           R / K / R           K / K / K           R / K / R
//   MADV_FREE       R / K / R           R / R / R           R / R / R           R / R / R
//   PUNCH_HOLE      R / R / R           X / X / X           X / X / X           X / X / X
//   memory pressure K / K / K           K / K / K           K / K / K           K / K / K
//   compaction      - / K / K           - / K / K           K / K / K           K / K / K
//   MADV_COLLAPSE   - / R / R           - / R / R           R / R / R           R / R / R
//   KSM             - / K / K           K / K / K           K / K / K           K / K / K
//   fork            X / X / X           K / K / K           K / K / K           K / K / K
//   munmap          X / X / X           X / X / X           X / X / X           X / X / X
//
//   K kept: it may happen; every page stays in its frame, with its bytes.
//   R refused: the kernel says no, and every page stays in its frame. (MADV_COLLAPSE of pages
//     that are huge already is no refusal: it does nothing.)
//   X excluded: it would break the level, and the owner of the memory does not let it happen.
//   - the level does not promise it.
//
// What a host cannot give is an error that names it, never a lower level.
//
// Invariants: Pin has pinned the whole range, or nothing. Unpin cannot fail. A pinner does not
// count: no two extents of it overlap; PinTable sees to that.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_PINNER_H_
#define VMWIRE_MEMORY_PINNER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/host_memory.h"
#include "memory/page_range.h"
#include "memory/slot_list.h"

namespace vmwire {

enum class PinLevel { kResident, kPinned, kGuarded };

// "resident", "pinned", "guarded".
std::string ToString(PinLevel level);

// True if `level` promises all that `wanted` does. Neither of kResident and kPinned covers the
// other.
constexpr bool Covers(PinLevel level, PinLevel wanted) {
  return level == wanted || level == PinLevel::kGuarded;
}

// Told the bytes done so far of one Pin, on the calling thread; false asks to stop.
using PinProgress = std::function<bool(uint64_t bytes_done)>;

// What else one Pin is given.
struct PinControl {
  PinProgress progress = nullptr;
  // Where not null, a Pin that fails for some page says here which it is: the first that could not
  // be faulted in or pinned; of a limit that the range as a whole does not fit, the first page of
  // the piece that was refused. Not set when it is stopped.
  HostAddress* failed_at = nullptr;
};

// A range that a Pinner has pinned: what Unpin takes back. `buffers` are the slots of the
// registered buffers that hold it, in ascending order of address, each kMaxBufferBytes but the
// last; none at kResident.
struct PinnedExtent {
  HostRange host;
  SlotList buffers;
};

// A registered buffer that holds a part of an extent: what a device's ring does its I/O through.
struct PinnedBuffer {
  BufferTable table;
  uint32_t slot;
  HostRange range;
};

class Pinner {
 public:
  virtual ~Pinner() = default;

  virtual PinLevel level() const = 0;

  // Faults `range` in and pins it.
  // ResourceExhausted: RLIMIT_MEMLOCK, memory, locked extents (vm.max_map_count) or buffer slots;
  // of the last two, and of a limit on locks, before the first fault. FailedPrecondition: some page
  // cannot be pinned. PermissionDenied, Unimplemented: the host does not give this level.
  // Unavailable: the host kept asking to try again. Cancelled: `progress` said stop. The message
  // names the range and the remedy. On failure nothing is pinned; pages may stay resident.
  // REQUIRES: `range` overlaps no extent that is pinned or being pinned.
  virtual absl::StatusOr<PinnedExtent> Pin(const HostRange& range, const PinControl& control) = 0;

  // REQUIRES: `extent` is what Pin of this pinner gave, and was not given back yet.
  virtual void Unpin(const PinnedExtent& extent) = 0;

  // How many more extents, of at most kMaxBufferBytes each, can be pinned before locked extents or
  // buffer slots run out. Other threads may be faster.
  virtual uint64_t FreeExtents() const = 0;

  // The registered buffer of `extent` that holds `address`; nullopt at kResident. It stays until
  // the extent is unpinned. REQUIRES: as Unpin; extent.host contains `address`.
  virtual std::optional<PinnedBuffer> BufferAt(const PinnedExtent& extent,
                                               HostAddress address) const = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PINNER_H_
