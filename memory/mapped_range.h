// The token of guest memory that is mapped and stays mapped while the token lives. It says nothing
// of wiring: made by WirePolicy for what need not be wired.
//
// Invariants: while the token lives, its range cannot be removed from the map.
// Thread safety: may be moved between threads.
#ifndef VMWIRE_MEMORY_MAPPED_RANGE_H_
#define VMWIRE_MEMORY_MAPPED_RANGE_H_

#include "absl/status/statusor.h"
#include "memory/page_range.h"
#include "memory/wired_range.h"

namespace vmwire {

class VmMap;

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

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_MAPPED_RANGE_H_
