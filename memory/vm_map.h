// The map of guest physical memory, and the wiring of its ranges: vm_map(9) and vm_map_wire(9) of
// FreeBSD.
//
// A wiring faults a range in and pins it, all of it or nothing, and counts: it stays pinned until
// the last wiring is undone. Only the first wiring of a page and the last unwiring reach the host,
// and that through PinTable.
//
// Invariants (CheckInvariants): entries are sorted, disjoint, not empty, inside [min, max); no two
// neighbours could be merged; each page of a wired entry is counted in the pin table, and pinned;
// user_wired_pages() is the sum over user-wired entries. After a failed operation all of this is as
// before.
// Thread safety: thread-compatible.
//
// Errors, here and in wiring.h: NotFound is a hole; PermissionDenied an entry without the rights;
// FailedPrecondition a wired or held range; AlreadyExists an overlap; ResourceExhausted a limit.
// Each message names the range and the entry that it hit.
#ifndef VMWIRE_MEMORY_VM_MAP_H_
#define VMWIRE_MEMORY_VM_MAP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/page_range.h"
#include "memory/pin_table.h"
#include "memory/protection.h"
#include "memory/vm_map_entry.h"
#include "memory/vm_object.h"
#include "memory/wired_range.h"

namespace vmwire {

// VM_MAP_WIRE_*: the values are FreeBSD's, and may be or-ed.
enum class WireFlags : uint8_t {
  kSystem = 0,   // Counts nest; not limited.
  kNoHoles = 0,  // A page without an entry, or with one that cannot be wired, fails the whole call.
  kUser = 1,     // At most one for each entry; charged to the map's user limit.
  kHolesOk = 2,  // Such pages are passed over.
  kWrite = 4,    // An entry that is not writable cannot be wired.
};
constexpr WireFlags operator|(WireFlags a, WireFlags b) {
  return static_cast<WireFlags>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
// False for kSystem and kNoHoles, which are the absence of the other flags.
constexpr bool Has(WireFlags flags, WireFlags flag) {
  return (static_cast<uint8_t>(flags) & static_cast<uint8_t>(flag)) != 0;
}

// Told how far a wiring is, in bytes that had to be pinned; false asks to stop, and undoes it.
using WireProgress = std::function<bool(uint64_t bytes_done, uint64_t bytes_total)>;

// Guest memory that is mapped and stays mapped while the token lives. It says nothing of wiring:
// made by WirePolicy for what need not be wired.
class [[nodiscard]] MappedRange {
 public:
  MappedRange(MappedRange&& other) noexcept;
  MappedRange& operator=(MappedRange&& other) noexcept;
  MappedRange(const MappedRange&) = delete;
  MappedRange& operator=(const MappedRange&) = delete;
  ~MappedRange();

  const GuestRange& range() const { return range_; }
  // The host memory behind the range. FailedPrecondition: it is not one piece of host memory with
  // one protection. OutOfRange: it reaches past its object's end.
  absl::StatusOr<HostBacking> Backing() const;

 private:
  friend class VmMap;
  MappedRange(VmMap* map, GuestRange range) : map_(map), range_(range) {}
  void Release();

  VmMap* map_;  // Null once moved from.
  GuestRange range_;
};

class VmMap {
 public:
  struct Options {
    GuestAddress min = GuestAddress(0);
    GuestAddress max =
        GuestAddress(AlignDown(UINT64_MAX, kPageSize));  // One past the last address.
    uint64_t user_wire_limit = UINT64_MAX;               // In pages.
    uint32_t max_system_wires = kMaxWireCount;           // Of one entry.
  };

  // REQUIRES: min < max, page-aligned; `pins` outlives the map.
  VmMap(PinTable& pins, const Options& options);
  VmMap(const VmMap&) = delete;
  VmMap& operator=(const VmMap&) = delete;
  // Drops entries and user wirings. REQUIRES: no system wiring and no token is left.
  ~VmMap();

  // Maps `range` to the object's pages from `offset`; nothing is faulted in. A neighbour of the
  // same object, offset and rights becomes one entry with it. Past the object's end is allowed;
  // wiring or accessing that part is OutOfRange. OutOfRange: not inside [min, max), or offset +
  // size wraps. AlreadyExists: overlaps an entry. PermissionDenied: `protection` is not within
  // `max_protection`. InvalidArgument: no object, or an unaligned offset.
  absl::Status Map(const GuestRange& range, std::shared_ptr<VmObject> object, uint64_t offset,
                   Protection protection, Protection max_protection = Protection::kAll);

  // Removes what is mapped in `range`, user wirings with it; holes are fine.
  // FailedPrecondition: a system wiring or a token lies in it; nothing is done.
  absl::Status Remove(const GuestRange& range);

  // Sets the rights of what is mapped in `range`; holes are passed over. Wirings stay, and a slot
  // that was made of a token keeps the rights of that time.
  // PermissionDenied: not within an entry's max_protection; nothing is done.
  absl::Status Protect(const GuestRange& range, Protection protection);

  // The entry that holds `address`; null in a hole. Valid until the map changes.
  const VmMapEntry* Lookup(GuestAddress address) const;

  // Wires `range` and returns the token of it. The wiring is a system one, whatever `flags` says of
  // that. NotFound, PermissionDenied, OutOfRange, ResourceExhausted, Cancelled, Unimplemented: as
  // Wiring; nothing is then wired.
  absl::StatusOr<WiredRange> Wire(const GuestRange& range, WireFlags flags = WireFlags::kSystem,
                                  const WireProgress& progress = {});

  // vm_map_wire(9) and vm_map_unwire(9), without a token: each wire is to be undone by an unwire.
  // The codes are those of Wiring::Wire and Wiring::Unwire in wiring.h; after an error all is as
  // before.
  absl::Status WireRange(const GuestRange& range, WireFlags flags,
                         const WireProgress& progress = {});
  absl::Status UnwireRange(const GuestRange& range, WireFlags flags);

  // Keeps `range` mapped. NotFound: it has a hole. ResourceExhausted: an entry has as many holds as
  // it can count.
  absl::StatusOr<MappedRange> Hold(const GuestRange& range);

  uint64_t user_wired_pages() const { return user_wired_pages_; }
  uint64_t wired_pages() const;
  const PinTable& pins() const { return pins_; }

  // Internal, naming the entry, if an invariant is broken.
  absl::Status CheckInvariants() const;

  // An entry a line.
  std::string ToString() const;
  size_t entry_count() const { return entries_.size(); }

 private:
  friend class Wiring;       // wiring.h: the algorithm, in a file of its own.
  friend class WiredRange;   // Undoes its wiring.
  friend class MappedRange;  // Undoes its hold.
  using Entries = std::map<GuestAddress, VmMapEntry>;

  // The first entry that ends above `address`.
  Entries::iterator FirstEndingAfter(GuestAddress address);
  Entries::const_iterator FirstEndingAfter(GuestAddress address) const;
  // Makes `address` a boundary between entries if it lies inside one: both halves carry all of its
  // state.
  void ClipAt(GuestAddress address);
  // Merges what can be merged at the boundaries in [start, end].
  void MergeAround(const GuestRange& range);
  // The host memory behind `range`. Errors as WiredRange::Backing, and NotFound for a hole.
  absl::StatusOr<HostBacking> BackingOf(const GuestRange& range) const;
  // NotFound, naming the hole, unless every page of `range` has an entry.
  absl::Status CheckNoHoles(const GuestRange& range) const;
  absl::Status CheckEntry(const VmMapEntry& entry) const;
  void ReleaseHold(const GuestRange& range);
  // Undoes the wiring of a token over one of its pieces.
  void ReleaseToken(const GuestRange& range);

  PinTable& pins_;
  const Options options_;
  Entries entries_;
  uint64_t user_wired_pages_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_VM_MAP_H_
