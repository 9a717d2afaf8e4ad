// One call of vm_map_wire(9) or vm_map_unwire(9): the algorithm and the record that undoes it.
//
// A wiring has two phases. The first walks the range upwards, entry by entry: waits while somebody
// else wires it, clips it to the range, marks it as in transition, checks it, and pins it with the
// map unlocked. The second commits every entry that this call has marked, or undoes it, and clears
// the marks; both under one hold of the map's mutex. An unwiring marks nothing: it waits until
// nobody wires in the range, and then checks and changes all of it at once. So a call that fails
// leaves counts, pins, charges and entries as they were; only pages may stay resident.
//
// The rules of the range (all of them FreeBSD's): what lies outside [min, max) of the map is passed
// over; a hole is NotFound, an entry that is neither readable nor executable, or not writable
// though kWrite asks for it, is PermissionDenied, but with kHolesOk both are skipped; a user wiring
// of what is user-wired changes nothing; a user unwiring of what is not user-wired succeeds; a
// system unwiring of what has none is FailedPrecondition, and skipped with kHolesOk, so that it
// undoes a wiring with kHolesOk. What a token has wired only the token unwires.
//
// Invariants: an object of this class is used for one call, by one thread.
// Thread safety: thread-compatible; takes the map's mutex itself.
#ifndef VMWIRE_MEMORY_WIRING_H_
#define VMWIRE_MEMORY_WIRING_H_

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "memory/transition.h"
#include "memory/vm_map.h"

namespace vmwire {

class Wiring {
 public:
  // Whose a system wiring is. Nobody but a token takes back what the token has wired.
  enum class Owner { kNone, kToken };

  // REQUIRES: `map` and `options` outlive this object.
  Wiring(VmMap& map, const GuestRange& range, WireFlags flags, Owner owner,
         const WireOptions& options);

  // InvalidArgument: unknown flags, or the range cuts a huge page. OutOfRange: an entry reaches
  // past its object's end. ResourceExhausted: the budget, refused before the first fault; the user
  // limit; a count; or the host's. Cancelled, DeadlineExceeded: the options said stop.
  // Unimplemented, PermissionDenied: the host does not give the pin level. Unavailable: the host
  // asked to try again too often. FailedPrecondition: it would wait for a wiring of this very
  // thread, or a page is pinned at a lower level.
  absl::Status Wire() ABSL_LOCKS_EXCLUDED(map_.mutex_);
  // NotFound, FailedPrecondition, InvalidArgument, Cancelled, DeadlineExceeded: as said above.
  // Nothing is then unwired.
  absl::Status Unwire() ABSL_LOCKS_EXCLUDED(map_.mutex_);

  // Of VmMap::Map: wires the one entry that was inserted just now, under this hold of the mutex;
  // takes it away again if that fails. The mutex is given up meanwhile.
  absl::Status WireInserted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  // Lets go of what WireInserted has undone.
  void ReleasePins() ABSL_LOCKS_EXCLUDED(map_.mutex_);

  // After Wire: what this call wired, as maximal runs, ascending. A user wiring of what was
  // user-wired is not part of it.
  WiredRange::Pieces TakePieces() { return std::move(pieces_); }

 private:
  // Pages that lost their last wiring in the map, to be unwired once the mutex is given up.
  struct Unpinned {
    std::shared_ptr<VmObject> object;
    PageRun run;
  };

  absl::Status CheckFlags();
  // True: the whole range lies in one entry that is wired already, and all is done.
  bool WireAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  bool UnwireOneOfSeveral() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  VmMapEntry* SingleEntry() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);

  absl::Status WireLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  // Refuses what the budget cannot hold, before the first fault; an obstacle at the very start is
  // reported first.
  absl::Status Preflight() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  // True if the walk fails at the first page. REQUIRES: range_ has a value.
  bool BeginsWithObstacle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);

  // The first phase. The mutex may be given up and taken again.
  absl::Status Acquire() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  absl::Status AcquireEntry(VmMapEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  absl::Status PinEntry(VmMapEntry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  absl::Status ClipToRange(const GuestRange& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);

  absl::Status CheckHole(GuestAddress at, GuestAddress next);
  absl::Status CheckWirable(const VmMapEntry& entry);
  absl::Status CheckCounts(const VmMapEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);

  // The second phase.
  void Commit() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  void Undo() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  template <typename Visit>
  void ForEachMarked(Visit visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  void CountWire(VmMapEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);

  absl::Status UnwireLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  absl::Status CheckUnwirable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);
  bool IsUnwirable(const VmMapEntry& entry) const;
  void CountUnwire(VmMapEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(map_.mutex_);

  // What is asked of a pin between its chunks.
  PinProgress Progress();

  // Writes down why, and returns `status`.
  absl::Status Fail(WireFailure failure, std::optional<GuestAddress> at, absl::Status status);
  absl::Status FailPin(const VmMapEntry& entry, const PinRequest& request,
                       const absl::Status& status);
  absl::Status FailStopped(const absl::Status& status);
  absl::Status FailLimit(GuestAddress at, uint64_t needed, uint64_t available, absl::Status status);
  // Gives the report to who asked for it, and returns `status`.
  absl::Status Report(absl::Status status);

  bool user() const { return Has(flags_, WireFlags::kUser); }
  bool holes_ok() const { return Has(flags_, WireFlags::kHolesOk); }

  VmMap& map_;
  const WireFlags flags_;
  const Owner owner_;
  const WireOptions& options_;
  const GuestRange asked_;
  // The range inside the map's bounds; nullopt if none of it is.
  const std::optional<GuestRange> range_;
  WireReport report_;

  // The record. Marked entries below `pinned_end_` that are not wired are those that this call
  // pinned.
  Transition transition_;
  GuestAddress pinned_end_ = GuestAddress(0);
  uint64_t user_pages_ = 0;  // Charged to the user limit by this call.
  WiredRange::Pieces pieces_;
  absl::InlinedVector<Unpinned, 1> unpinned_;
  absl::Status stopped_;  // By the limits, during a pin.
  uint64_t bytes_done_ = 0;
  uint64_t bytes_total_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WIRING_H_
