#include "memory/pin_cache.h"

#include <utility>

#include "memory/pin_table.h"
#include "memory/vm_object.h"

namespace vmwire {
namespace {

constexpr size_t kActiveList = 2;

// The place of a queue in the order in which the lists are emptied.
size_t ListOf(PageQueue queue) {
  switch (queue) {
    case PageQueue::kInactive:
    case PageQueue::kNone:
      return 0;
    case PageQueue::kLaundry:
      return 1;
    case PageQueue::kActive:
      return kActiveList;
    case PageQueue::kUnswappable:
      return 3;
  }
  return 0;
}

}  // namespace

void PinCache::Add(VmObject& object, uint64_t first, PinExtent& extent, PageQueue queue) {
  const MutexLock lock(mutex_);
  const size_t list = ListOf(queue);
  Node node{next_ticket_++, object.weak_from_this(), first, extent.charge.bytes(),
            std::exchange(extent.wired_again, false)};
  stats_.cached_bytes += node.bytes;
  ++stats_.cached_extents;
  extent.state = PinExtent::State::kCached;
  extent.cache_ticket = node.ticket;
  lists_[list].push_back(std::move(node));
  places_[extent.cache_ticket] = {list, std::prev(lists_[list].end())};
}

void PinCache::Take(PinExtent& extent, bool hit) {
  const MutexLock lock(mutex_);
  if (hit) {
    ++stats_.hits;
    extent.wired_again = true;
  }
  const auto place = places_.find(std::exchange(extent.cache_ticket, 0));
  // Not found: an eviction has picked it, and will see that it is not cached any more.
  if (place != places_.end()) Unlink(place->second.list, place->second.node);
}

void PinCache::CountMiss() {
  if (options_.capacity_bytes == 0) return;
  const MutexLock lock(mutex_);
  ++stats_.misses;
}

uint64_t PinCache::Reclaim(uint64_t bytes) {
  uint64_t freed = 0;
  while (freed < bytes) {
    const std::optional<Node> victim = TakeVictim(0);
    if (!victim.has_value()) break;
    freed += Evict(*victim);
  }
  return freed;
}

void PinCache::Trim() {
  while (const std::optional<Node> victim = TakeVictim(options_.capacity_bytes)) Evict(*victim);
}

PinCacheStats PinCache::stats() const {
  const MutexLock lock(mutex_);
  return stats_;
}

std::optional<PinCache::Node> PinCache::TakeVictim(uint64_t cached_above) {
  const MutexLock lock(mutex_);
  if (stats_.cached_bytes <= cached_above) return std::nullopt;
  for (size_t list = 0; list < lists_.size(); ++list) {
    Nodes& nodes = lists_[list];
    for (size_t looked_at = 0, all = nodes.size(); looked_at < all; ++looked_at) {
      if (list != kActiveList || !nodes.front().second_chance) return Unlink(list, nodes.begin());
      nodes.front().second_chance = false;
      nodes.splice(nodes.end(), nodes, nodes.begin());
    }
    // All of them had their second chance.
    if (!nodes.empty()) return Unlink(list, nodes.begin());
  }
  return std::nullopt;
}

PinCache::Node PinCache::Unlink(size_t list, Nodes::iterator node) {
  Node taken = std::move(*node);
  lists_[list].erase(node);
  places_.erase(taken.ticket);
  stats_.cached_bytes -= taken.bytes;
  --stats_.cached_extents;
  return taken;
}

uint64_t PinCache::Evict(const Node& node) {
  const std::shared_ptr<VmObject> object = node.object.lock();
  // An object that dies lets go of its extents itself.
  if (object == nullptr || !PinTable::ReleaseCached(*object, node.first, node.ticket)) return 0;
  const MutexLock lock(mutex_);
  ++stats_.evictions;
  return node.bytes;
}

}  // namespace vmwire
