// The map of guest physical memory, and the wiring of its ranges: vm_map(9) and vm_map_wire(9) of
// FreeBSD.
//
// A wiring faults a range in and pins it, all of it or nothing, and counts: it stays pinned until
// the last wiring is undone. Only the first wiring of a page and the last unwiring reach the host,
// and that through PinTable.
//
// Invariants (CheckInvariants): entries are sorted, disjoint, not empty, inside [min, max); no two
// neighbours could be merged; each page of a wired entry is counted in its object, and pinned;
// user_wired_pages() is the sum over user-wired entries. After a failed operation all of this is as
// before.
// Lock order: the map's mutex, then that of an object's mappings or pins, of a waiter, of the hold
// table. It is never held over a fault, a pin, a call of the host or a callback. A destructor that
// may take a lock (of an object, of a token) never runs under it.
// Thread safety: thread-safe. Translations and holds of wired memory take no lock (Hold,
// translations()). Not inside a ReadGuard: whatever changes the map.
//
// Errors, here and in wiring.h: NotFound is a hole; PermissionDenied an entry without the rights;
// FailedPrecondition a wired or held range; AlreadyExists an overlap; ResourceExhausted a limit;
// InvalidArgument also a cut through a huge page. Each message names the range and the entry that
// it hit.
#ifndef VMWIRE_MEMORY_VM_MAP_H_
#define VMWIRE_MEMORY_VM_MAP_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/held_range.h"
#include "memory/mapped_range.h"
#include "memory/mutex.h"
#include "memory/page_range.h"
#include "memory/pin_table.h"
#include "memory/protection.h"
#include "memory/transition.h"
#include "memory/translation_table.h"
#include "memory/vm_map_entry.h"
#include "memory/vm_object.h"
#include "memory/wait_queue.h"
#include "memory/wire_options.h"
#include "memory/wired_range.h"

namespace vmwire {

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
  // Drops entries and user wirings. REQUIRES: CheckUnused.
  ~VmMap();

  // Maps `range` to the object's pages from `offset`; nothing is faulted in, unless wire-future is
  // on: then it is wired as UserWiring, and if that fails nothing is left behind. A neighbour of
  // the same object, offset and rights becomes one entry with it. Past the object's end is allowed;
  // wiring or accessing that part is OutOfRange. OutOfRange: not inside [min, max), or offset +
  // size wraps. AlreadyExists: overlaps an entry. PermissionDenied: `protection` is not within
  // `max_protection`. InvalidArgument: no object, or an unaligned offset. Else as WireRange.
  absl::Status Map(const GuestRange& range, std::shared_ptr<VmObject> object, uint64_t offset,
                   Protection protection, Protection max_protection = Protection::kAll);
  // Keeps `range` free of memory: a guard can be neither accessed nor wired. Errors as Map.
  absl::Status MapGuard(const GuestRange& range);

  // Removes what is mapped in `range`, user wirings with it; holes are fine. Waits for wirings that
  // are under way. FailedPrecondition: a system wiring, a token or a hold lies in it; nothing is
  // done.
  absl::Status Remove(const GuestRange& range);
  // The same, but waits for those to go. DeadlineExceeded, Cancelled: as `limits` say; nothing is
  // done.
  absl::Status RemoveWait(const GuestRange& range, const WaitLimits& limits);

  // Sets the rights of what is mapped in `range`; holes and guards are passed over. Waits for
  // wirings that are under way. Wirings stay; a slot that was made of a token, and a hold, keep the
  // rights of that time. PermissionDenied: not within an entry's max_protection; nothing is done.
  absl::Status Protect(const GuestRange& range, Protection protection);

  // Makes `address` a boundary between entries until the next wiring or unwiring there; nothing in
  // a hole. InvalidArgument: unaligned, or it cuts a huge page.
  absl::Status Clip(GuestAddress address);

  // The entry that holds `address`; nullopt in a hole.
  std::optional<VmMapEntry> Lookup(GuestAddress address) const;
  // The entry that holds `address`, or the next above it; nullopt if there is none.
  std::optional<VmMapEntry> LookupFrom(GuestAddress address) const;

  // Wires `range` and returns the token of it. The wiring is a system one, whatever `flags` says of
  // that. NotFound, PermissionDenied, OutOfRange, ResourceExhausted, Cancelled, Unimplemented: as
  // Wiring; nothing is then wired.
  absl::StatusOr<WiredRange> Wire(const GuestRange& range, WireFlags flags = WireFlags::kSystem,
                                  const WireOptions& options = {});

  // vm_map_wire(9) and vm_map_unwire(9), without a token: each wire is to be undone by an unwire.
  // The codes are those of Wiring::Wire and Wiring::Unwire in wiring.h; after an error all is as
  // before.
  absl::Status WireRange(const GuestRange& range, WireFlags flags, const WireOptions& options = {});
  absl::Status UnwireRange(const GuestRange& range, WireFlags flags, const WaitLimits& limits = {});

  // Entries that are mapped from now on are user-wired at once.
  void SetWireFuture(bool on);
  // What is wired from now on is pinned by `pins`, which outlives the map. FailedPrecondition: a
  // wiring of this map has succeeded before, or is under way.
  absl::Status SetPinTable(PinTable& pins);
  // In pages; what is wired already stays.
  void SetUserWireLimit(uint64_t pages);

  // Keeps `range` mapped. NotFound: it has a hole. ResourceExhausted: an entry has as many such
  // tokens as it can count.
  absl::StatusOr<MappedRange> KeepMapped(const GuestRange& range);

  // Keeps the pages of [address, address + size) where they are, and gives their host address: for
  // a transfer with the rights `access`. Takes no lock if the range lies in one piece of wired
  // memory. NotFound: a hole. PermissionDenied: rights. FailedPrecondition: not wired. OutOfRange:
  // not one piece of host memory. InvalidArgument: empty, or it wraps.
  absl::StatusOr<HeldRange> Hold(GuestAddress address, uint64_t size, Protection access);

  // Where guest addresses lie on the host, for readers inside a ReadGuard.
  const TranslationTable& translations() const { return translations_; }

  // FailedPrecondition, naming who holds what, while a system wiring, a token or a hold is left:
  // then the map must not be destroyed.
  absl::Status CheckUnused() const;

  uint64_t user_wired_pages() const;
  uint64_t wired_pages() const;
  PinTable& pins() const { return *pins_.load(std::memory_order_acquire); }

  // Internal, naming the entry, if an invariant is broken. Entries in transition are passed over.
  absl::Status CheckInvariants() const;

  // An entry a line.
  std::string ToString() const;
  size_t entry_count() const;

  // For tests of the limits only.
  void ForceSystemWiresForTesting(GuestAddress address, uint32_t count);
  void AddUserWiredPagesForTesting(uint64_t pages);

 private:
  friend class Wiring;       // wiring.h: the algorithm, in a file of its own.
  friend class MapRemoval;   // map_removal.h: the same.
  friend class WiredRange;   // Undoes its wiring.
  friend class MappedRange;  // Undoes its token.
  using Entries = std::map<GuestAddress, VmMapEntry>;

  // The first entry that ends above `address`.
  Entries::iterator FirstEndingAfter(GuestAddress address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entries::const_iterator FirstEndingAfter(GuestAddress address) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // InvalidArgument if `address` lies inside an entry that cannot be cut there.
  absl::Status CheckClip(GuestAddress address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes `address` a boundary between entries if it lies inside one: both halves carry all of its
  // state. REQUIRES: CheckClip.
  void ClipAt(GuestAddress address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Merges what can be merged at the boundaries in [start, end].
  void MergeAround(const GuestRange& range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same, after forgetting the cuts of Clip there.
  void MergeClipped(const GuestRange& range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes the translations of `range` what the entries say.
  void Publish(const GuestRange& range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    PublishExcept(range, std::nullopt);
  }
  // The same, but as if there were no entries in `range`.
  void PublishWithout(const GuestRange& range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    PublishExcept(range, range);
  }
  void PublishExcept(const GuestRange& range, const std::optional<GuestRange>& hidden)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until no entry of `range` is in transition. FailedPrecondition: it would wait for itself.
  absl::Status WaitForTransitions(const GuestRange& range, const WaitLimits& limits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WaitForTransition(const VmMapEntry& entry, const WaitLimits& limits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckInside(const GuestRange& range) const;
  // AlreadyExists, naming the entry that is there.
  absl::Status CheckFree(const GuestRange& range) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Insert(VmMapEntry entry) ABSL_LOCKS_EXCLUDED(mutex_);

  // The host memory behind `range`. Errors as WiredRange::Backing, and NotFound for a hole.
  absl::StatusOr<HostBacking> BackingOf(const GuestRange& range) const;
  // NotFound, naming the hole, unless every page of `range` has an entry.
  absl::Status CheckNoHoles(const GuestRange& range) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckEntry(const VmMapEntry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckPagesPinned(const VmMapEntry& entry) const;
  absl::Status CheckHoldable(const VmMapEntry& entry, GuestAddress at, Protection access) const;
  void ReleaseMapped(const GuestRange& range);
  // Undoes the wiring of a token over one of its pieces.
  void ReleaseToken(const GuestRange& range);

  // Hold without a lock; nullopt: the map has to be asked.
  std::optional<HeldRange> TryHold(GuestAddress address, uint64_t size, Protection access);
  absl::StatusOr<HeldRange> HoldLocked(GuestAddress address, uint64_t size, Protection access);

  std::atomic<PinTable*> pins_;  // Changed under mutex_ only, before the first wiring.
  const Options options_;
  mutable Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t user_wired_pages_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t user_wire_limit_ ABSL_GUARDED_BY(mutex_);
  bool wire_future_ ABSL_GUARDED_BY(mutex_) = false;
  bool was_wired_ ABSL_GUARDED_BY(mutex_) = false;
  // Who waits for wirings or tokens to go, to remove what they keep.
  WaitQueue removers_ ABSL_GUARDED_BY(mutex_);
  // Changed under mutex_ only; read without it.
  TranslationTable translations_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_VM_MAP_H_
