// Which guest memory is wired, and the proof of it that a memory slot takes.
//
// "Wired before slot" is kept by types: SlotTable::Install takes a SlotBacking by value. That is a
// WiredRange, or an UnwiredByPolicy, which nothing but WirePolicy can make. So a slot that should
// be wired and is not cannot be written.
//
// Invariants: both alternatives keep the map from removing what they cover for as long as they
// live.
// Thread safety: as the map.
#ifndef VMWIRE_MEMORY_WIRE_POLICY_H_
#define VMWIRE_MEMORY_WIRE_POLICY_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "memory/mapped_range.h"
#include "memory/page_range.h"
#include "memory/vm_map.h"
#include "memory/wired_range.h"

namespace vmwire {

enum class WirePolicyKind {
  kAll,       // Everything is wired before its slot exists.
  kDma,       // Only the declared DMA windows are.
  kOnDemand,  // Nothing is at first; what a device maps is wired then, and kept for a while.
  kNone,      // Nothing is; devices that want DMA are refused.
};

// "all", "dma", "on-demand", "none".
absl::string_view ToString(WirePolicyKind kind);

// Guest memory that a policy says need not be wired: mapped, held against removal, and carrying the
// wirings of those windows in it that the policy does want.
class [[nodiscard]] UnwiredByPolicy {
 public:
  UnwiredByPolicy(UnwiredByPolicy&&) noexcept = default;
  UnwiredByPolicy& operator=(UnwiredByPolicy&&) noexcept = default;

  const GuestRange& range() const { return mapped_.range(); }
  const std::vector<WiredRange>& windows() const { return windows_; }
  // As MappedRange::Backing.
  absl::StatusOr<HostBacking> Backing() const { return mapped_.Backing(); }

 private:
  friend class WirePolicy;
  UnwiredByPolicy(MappedRange mapped, std::vector<WiredRange> windows)
      : mapped_(std::move(mapped)), windows_(std::move(windows)) {}

  MappedRange mapped_;
  std::vector<WiredRange> windows_;
};

// What a slot is made of.
using SlotBacking = std::variant<WiredRange, UnwiredByPolicy>;

const GuestRange& RangeOf(const SlotBacking& backing);
absl::StatusOr<HostBacking> BackingOf(const SlotBacking& backing);
uint64_t WiredBytesOf(const SlotBacking& backing);

class WirePolicy {
 public:
  static WirePolicy All() { return WirePolicy(WirePolicyKind::kAll, {}); }
  static WirePolicy OnDemand() { return WirePolicy(WirePolicyKind::kOnDemand, {}); }
  static WirePolicy None() { return WirePolicy(WirePolicyKind::kNone, {}); }
  // `windows` may be in any order, and may overlap (system wirings nest).
  static WirePolicy Dma(std::vector<GuestRange> windows) {
    return WirePolicy(WirePolicyKind::kDma, std::move(windows));
  }

  WirePolicyKind kind() const { return kind_; }
  const std::vector<GuestRange>& windows() const { return windows_; }

  // InvalidArgument, naming the window, unless each window lies wholly inside one of `ranges` (the
  // machine's memory).
  absl::Status CheckWindows(const std::vector<GuestRange>& ranges) const;

  // The bytes of `range` that Apply will wire, for a progress bar: windows that overlap count
  // twice.
  uint64_t BytesToWire(const GuestRange& range) const;

  // Wires of `range` what the policy wants, and returns what a slot for all of `range` is made of.
  // Errors as VmMap::Wire; nothing is then wired.
  absl::StatusOr<SlotBacking> Apply(VmMap& map, const GuestRange& range,
                                    const WireProgress& progress = {}) const;

 private:
  WirePolicy(WirePolicyKind kind, std::vector<GuestRange> windows)
      : kind_(kind), windows_(std::move(windows)) {}

  WirePolicyKind kind_;
  std::vector<GuestRange> windows_;
};

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_WIRE_POLICY_H_
