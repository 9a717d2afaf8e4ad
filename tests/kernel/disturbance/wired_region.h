// A wired range of guest memory on the real host, whose every frame and byte is known: to see what
// a disturbance did to it.
//
// Thread safety: none.
#ifndef VMWIRE_TESTS_KERNEL_DISTURBANCE_WIRED_REGION_H_
#define VMWIRE_TESTS_KERNEL_DISTURBANCE_WIRED_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/host_memory_linux.h"
#include "memory/pin_promises.h"
#include "memory/pin_table.h"
#include "memory/pinner.h"
#include "memory/vm_map.h"
#include "memory/vm_object.h"
#include "memory/wire_budget.h"
#include "memory/wired_range.h"
#include "tests/kernel/disturbance/guest_memfd.h"

namespace vmwire {

// What a region maps: a backing of PinPromises, and the variant of it.
enum class RegionKind {
  kAnonymousSmall,  // Pages of 4 KiB only.
  kAnonymousHuge,   // Transparent huge pages only.
  kMemfd,
  kMemfdSealed,
  kHugetlb,
  kGuestMemfd
};

PinBacking BackingOf(RegionKind kind);
// "anonymous_4k", "anonymous_thp", "memfd", "memfd_sealed", "hugetlb", "guest_memfd".
std::string ToString(RegionKind kind);

// What became of a region since its frames were last looked at, in pages but where it says
// otherwise.
struct RegionChange {
  uint64_t pages = 0;
  uint64_t gone = 0;   // Without a frame behind the address, until the next touch.
  uint64_t moved = 0;  // Behind the address is, after a touch, another frame.
  uint64_t lost = 0;   // Some byte is another.
  // Transfers of the device into the registered buffer, one a place: those made, and those that
  // the CPU saw. None at kResident.
  uint64_t transfers = 0;
  uint64_t seen = 0;

  bool IsNone() const { return gone == 0 && KeptAfterTouch(); }
  bool KeptAfterTouch() const { return moved == 0 && lost == 0 && seen == transfers; }
  std::string ToString() const;
};

class WiredRegion {
 public:
  static constexpr uint64_t kSize = 4 << 20;

  // Wires kSize bytes, which hold bytes that differ from page to page. Unavailable: the host does
  // not give this level, this memory or the numbers of its frames; the message says what.
  static absl::StatusOr<std::unique_ptr<WiredRegion>> Create(PinLevel level, RegionKind kind);

  PinLevel level() const { return pins_.level(); }
  RegionKind kind() const { return kind_; }
  const HostRange& host() const { return object_->host_range(); }
  std::byte* data() const { return HostPointer(host().start()); }
  VmMap& map() { return map_; }
  const std::shared_ptr<VmObject>& object() const { return object_; }
  GuestRange guest() const;

  // Writes each page anew: with bytes of its own, or all with the same.
  void Rewrite(bool same_pages);

  // Compares with the frames and bytes of Create or the last Rewrite, then has the device write.
  RegionChange Look();

 private:
  WiredRegion(PinLevel level, RegionKind kind);
  absl::Status MakeObject();
  absl::Status Wire();
  void Transfer(RegionChange& change);

  const RegionKind kind_;
  HostMemoryLinux host_;
  const std::unique_ptr<Pinner> pinner_;
  WireBudget budget_;
  PinTable pins_;
  VmMap map_;
  std::unique_ptr<GuestMemfd> guest_memfd_;
  std::shared_ptr<VmObject> object_;
  std::optional<WiredRange> wired_;
  std::vector<uint64_t> frames_;
  std::vector<std::byte> bytes_;  // What should be there.
  uint8_t version_ = 0;           // Of the bytes.
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_KERNEL_DISTURBANCE_WIRED_REGION_H_
