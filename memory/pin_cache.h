// Extents that nobody has wired any more, kept pinned in case that they are wired again: FreeBSD's
// page queues, used as a pin-down cache.
//
// The queue that the last unwire named is the hint: inactive extents go first, then laundry, then
// active ones, of which each that was wired again since the last look has a second chance;
// unswappable ones go last. They go when the budget is short of bytes, or the cache above its
// capacity; by the thread that needs the room.
//
// Lock order: an object's mutex, then this one; no host call under it.
// Invariants: a kCached extent has exactly one node here, or is being evicted.
// Thread safety: thread-safe.
#ifndef VMWIRE_MEMORY_PIN_CACHE_H_
#define VMWIRE_MEMORY_PIN_CACHE_H_

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "memory/mutex.h"
#include "memory/object_pins.h"
#include "memory/vm_page.h"

namespace vmwire {

class VmObject;

struct PinCacheOptions {
  // Bytes that may stay pinned without being wired, as the budget is charged for them; 0, the
  // default: no cache.
  uint64_t capacity_bytes = 0;
};

struct PinCacheStats {
  uint64_t hits = 0;       // Extents that were wired again while cached.
  uint64_t misses = 0;     // Extents that had to be pinned.
  uint64_t evictions = 0;  // Extents let go for want of room.
  uint64_t cached_bytes = 0;
  uint64_t cached_extents = 0;
};

class PinCache {
 public:
  explicit PinCache(const PinCacheOptions& options) : options_(options) {}
  PinCache(const PinCache&) = delete;
  PinCache& operator=(const PinCache&) = delete;

  // Whether an extent of `bytes` could be cached at all.
  bool Takes(uint64_t bytes) const { return bytes <= options_.capacity_bytes; }

  // Makes the extent kCached. The cache may then be above its capacity: call Trim when the object's
  // mutex is given up. REQUIRES: the object's mutex is held; Takes.
  void Add(VmObject& object, uint64_t first, PinExtent& extent, PageQueue queue);
  // The extent leaves the cache, since it is wired again, or (without `hit`) since its object lets
  // it go. REQUIRES: the object's mutex is held; the extent is kCached.
  void Take(PinExtent& extent, bool hit);
  void CountMiss();

  // Lets go of extents until `bytes` are freed or none is left. Returns what it freed.
  // REQUIRES, of both: no mutex of an object or a map is held.
  uint64_t Reclaim(uint64_t bytes);
  void Trim();

  PinCacheStats stats() const;

 private:
  struct Node {
    uint64_t ticket;
    std::weak_ptr<VmObject> object;
    uint64_t first;
    uint64_t bytes;
    bool second_chance;
  };
  using Nodes = std::list<Node>;
  struct Place {
    size_t list;
    Nodes::iterator node;
  };

  // Takes the node that is to go next off its list; nullopt if no more than `cached_above` bytes
  // are cached.
  std::optional<Node> TakeVictim(uint64_t cached_above) ABSL_LOCKS_EXCLUDED(mutex_);
  Node Unlink(size_t list, Nodes::iterator node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets the extent go, unless it is wired again by now. Returns the bytes freed.
  uint64_t Evict(const Node& node);

  const PinCacheOptions options_;
  mutable Mutex mutex_;
  // In the order in which they are emptied.
  std::array<Nodes, 4> lists_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, Place> places_ ABSL_GUARDED_BY(mutex_);  // By ticket.
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  PinCacheStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_PIN_CACHE_H_
