// The token of a wiring: whoever holds it owns one system wiring of each entry in its range, and
// gives it back when the token dies. It is what a memory slot or a DMA mapping is made of: memory
// that cannot vanish, shrink or lose its backing.
//
// Invariants: while a token lives its pages are pinned, and the map refuses to remove or discard
// them.
// Thread safety: as its map; a token may be moved between threads.
#ifndef VMWIRE_MEMORY_WIRED_RANGE_H_
#define VMWIRE_MEMORY_WIRED_RANGE_H_

#include <cstdint>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "memory/page_range.h"
#include "memory/protection.h"

namespace vmwire {

class VmMap;

// A stretch of guest memory that is one piece of host memory with one protection: what KVM can take
// as a slot.
struct HostBacking {
  HostRange host;
  Protection protection;
};

class [[nodiscard]] WiredRange {
 public:
  using Pieces = absl::InlinedVector<GuestRange, 1>;

  WiredRange(WiredRange&& other) noexcept;
  WiredRange& operator=(WiredRange&& other) noexcept;
  WiredRange(const WiredRange&) = delete;
  WiredRange& operator=(const WiredRange&) = delete;
  // Releases; cannot fail.
  ~WiredRange();

  // The range that was asked for. With holes allowed, not all of it need be wired: see pieces().
  const GuestRange& range() const { return range_; }
  // The wired parts, ascending, disjoint, not adjacent.
  const Pieces& pieces() const { return pieces_; }
  uint64_t wired_bytes() const;

  // The host memory behind the range. FailedPrecondition: it is not wired whole, or it lies in more
  // than one piece of host memory, or its protection is not everywhere the same.
  absl::StatusOr<HostBacking> Backing() const;

 private:
  friend class VmMap;
  WiredRange(VmMap* map, GuestRange range, Pieces pieces)
      : map_(map), range_(range), pieces_(std::move(pieces)) {}
  void Release();

  VmMap* map_;  // Null once moved from.
  GuestRange range_;
  Pieces pieces_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WIRED_RANGE_H_
