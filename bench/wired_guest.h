// Guest memory of ours, as the library's user would set it up: the thing that the figures of bench/
// are about.
//
// Invariants: once made, its whole range is mapped by one entry; nothing of it has been touched,
// and nothing is wired.
// Thread safety: none.
#ifndef VMWIRE_BENCH_WIRED_GUEST_H_
#define VMWIRE_BENCH_WIRED_GUEST_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/host_memory_linux.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"

namespace vmwire::bench {

struct GuestOptions {
  uint64_t bytes = 0;  // Whole pages.
  MemoryBacking backing = MemoryBacking::kAnonymous;
  HugePages pages = HugePages::kTransparent;
  PinLevel level = PinLevel::kResident;
  uint32_t threads = 0;          // How many fault in; 0: as many as there are usable processors.
  uint64_t pin_cache_bytes = 0;  // What may stay pinned without being wired.
};

// A map of `bytes` from guest address 0, behind a pinner of `level`.
class WiredGuest {
 public:
  // At kPinned and kGuarded it also maps, wires, releases and removes one scratch page past the
  // end: the pinner makes its ring and table on the first wiring, and what is measured is a wiring,
  // not that. InvalidArgument, ResourceExhausted: as VmObject::Create. There also the codes of
  // VmMap::Wire; Unimplemented: the host has no io_uring for us.
  static absl::StatusOr<std::unique_ptr<WiredGuest>> Create(const GuestOptions& options);

  WiredGuest(const WiredGuest&) = delete;
  WiredGuest& operator=(const WiredGuest&) = delete;

  VmMap& map() { return map_; }
  const GuestRange& range() const { return range_; }
  // What the range is mapped to.
  VmObject& object() { return *object_; }
  HostMemory& host() { return host_; }
  Pinner& pinner() { return *pinner_; }
  const PinTable& pins() const { return pins_; }

 private:
  WiredGuest(const GuestOptions& options, const GuestRange& range);
  // Maps `range` to an object of its own, of the kind that `options` says.
  absl::StatusOr<std::shared_ptr<VmObject>> Map(const GuestRange& range,
                                                const GuestOptions& options);
  absl::Status WireScratchPage();

  const GuestRange range_;
  HostMemoryLinux host_;
  WireBudget budget_;
  const std::unique_ptr<Pinner> pinner_;
  PinTable pins_;
  VmMap map_;
  std::shared_ptr<VmObject> object_;
};

// Makes such a guest, wires it and lets it go: whether this host can do what is to be measured.
// Errors as WiredGuest::Create and VmMap::Wire.
absl::Status TryToWire(const GuestOptions& options);

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_WIRED_GUEST_H_
