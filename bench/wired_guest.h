// Guest memory of ours, as the library's user would set it up: the thing that the figures of bench/
// are about.
//
// Thread safety: none.
#ifndef VMWIRE_BENCH_WIRED_GUEST_H_
#define VMWIRE_BENCH_WIRED_GUEST_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "memory/host_memory_linux.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"

namespace vmwire::bench {

// A map of `bytes` from guest address 0, behind a pinner of `level`. Ends the process if the host
// cannot give it.
class WiredGuest {
 public:
  WiredGuest(uint64_t bytes, MemoryBacking backing, HugePages pages, PinLevel level);

  VmMap& map() { return *map_; }
  GuestRange range() const { return *range_; }

 private:
  HostMemoryLinux host_;
  WireBudget budget_;
  std::unique_ptr<Pinner> pinner_;
  std::optional<PinTable> pins_;
  std::optional<VmMap> map_;
  std::optional<GuestRange> range_;
};

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_WIRED_GUEST_H_
