// One call of vm_map_wire(9) or vm_map_unwire(9): the algorithm and the record that undoes it.
//
// Both have two phases. The first walks the range upwards, entry by entry: clips it to the range,
// checks it, and (to wire) pins it, writing down what it did. The second commits every entry of
// that record, or undoes every entry of it. So a call that fails leaves counts, pins, charges and
// entries as they were; only pages may stay resident.
//
// The rules of the range (all of them FreeBSD's): what lies outside [min, max) of the map is passed
// over; a hole is NotFound, an entry that is neither readable nor executable, or not writable
// though kWrite asks for it, is PermissionDenied, but with kHolesOk both are skipped; a user wiring
// of what is user-wired changes nothing; a user unwiring of what is not user-wired succeeds; a
// system unwiring of what has none is FailedPrecondition, and skipped with kHolesOk, so that it
// undoes a wiring with kHolesOk. What a token has wired only the token unwires.
//
// Invariants: an object of this class is used for one call.
// Thread safety: as the map.
#ifndef VMWIRE_MEMORY_WIRING_H_
#define VMWIRE_MEMORY_WIRING_H_

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "memory/vm_map.h"

namespace vmwire {

class Wiring {
 public:
  // Whose a system wiring is. Nobody but a token takes back what the token has wired.
  enum class Owner { kNone, kToken };

  Wiring(VmMap& map, const GuestRange& range, WireFlags flags, Owner owner,
         const WireProgress& progress);

  // InvalidArgument: unknown flags. OutOfRange: an entry reaches past its object's end.
  // ResourceExhausted: the budget, refused before the first fault; the user limit; a count; or the
  // host's. Cancelled: the progress function said stop. Unimplemented, PermissionDenied: the host
  // does not give the pin level. Unavailable: the host asked to try again too often.
  absl::Status Wire();
  // NotFound, FailedPrecondition, InvalidArgument: as said above. Nothing is then unwired.
  absl::Status Unwire();

  // After Wire: what this call wired, as maximal runs, ascending. A user wiring of what was
  // user-wired is not part of it.
  std::vector<GuestRange> TakePieces() { return std::move(pieces_); }

 private:
  using Entries = VmMap::Entries;
  using Visit = absl::Status (Wiring::*)(VmMapEntry&);

  // Calls `visit` with each entry of the range, clipped to it. NotFound at a hole, unless holes are
  // fine.
  absl::Status ForEachEntry(Visit visit);
  absl::Status CheckFlags() const;
  absl::Status CheckHole(GuestAddress at, GuestAddress next) const;
  // Refuses what the budget cannot hold, before the first fault; an obstacle at the very start is
  // reported first.
  absl::Status Preflight();
  // True if the walk fails at the first page. REQUIRES: range_ has a value.
  bool BeginsWithObstacle() const;
  absl::Status CheckWirable(const VmMapEntry& entry) const;
  absl::Status CheckCounts(const VmMapEntry& entry) const;

  absl::Status WireEntry(VmMapEntry& entry);
  absl::Status PinEntry(const VmMapEntry& entry);
  absl::Status CheckUnwirable(VmMapEntry& entry);

  void CommitWire();
  void UndoWire();
  void CommitUnwire();

  bool user() const { return Has(flags_, WireFlags::kUser); }
  bool holes_ok() const { return Has(flags_, WireFlags::kHolesOk); }
  // The entry that begins at `start`, which this call clipped there.
  VmMapEntry& EntryAt(GuestAddress start) { return map_.entries_.find(start)->second; }

  VmMap& map_;
  const WireFlags flags_;
  const Owner owner_;
  const WireProgress progress_;
  // The range inside the map's bounds; nullopt if none of it is.
  const std::optional<GuestRange> range_;
  const GuestRange asked_;

  // The record: entries that the first phase passed and the second changes.
  std::vector<GuestRange> done_;
  std::vector<GuestRange> pieces_;
  uint64_t user_pages_ = 0;  // Of the entries in done_, what a user wiring is charged for.
  uint64_t bytes_done_ = 0;
  uint64_t bytes_total_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WIRING_H_
