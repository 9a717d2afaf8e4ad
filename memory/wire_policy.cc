#include "memory/wire_policy.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::string_view ToString(WirePolicyKind kind) {
  switch (kind) {
    case WirePolicyKind::kAll:
      return "all";
    case WirePolicyKind::kDma:
      return "dma";
    case WirePolicyKind::kOnDemand:
      return "on-demand";
    case WirePolicyKind::kNone:
      return "none";
  }
  return "unknown";
}

const GuestRange& RangeOf(const SlotBacking& backing) {
  return std::visit([](const auto& token) -> const GuestRange& { return token.range(); }, backing);
}

absl::StatusOr<HostBacking> BackingOf(const SlotBacking& backing) {
  return std::visit([](const auto& token) { return token.Backing(); }, backing);
}

uint64_t WiredBytesOf(const SlotBacking& backing) {
  if (const auto* wired = std::get_if<WiredRange>(&backing)) return wired->wired_bytes();
  uint64_t bytes = 0;
  for (const WiredRange& window : std::get<UnwiredByPolicy>(backing).windows())
    bytes += window.wired_bytes();
  return bytes;
}

absl::Status WirePolicy::CheckWindows(const std::vector<GuestRange>& ranges) const {
  for (const GuestRange& window : windows_) {
    const bool inside = std::any_of(ranges.begin(), ranges.end(), [&](const GuestRange& range) {
      return range.Contains(window);
    });
    if (inside) continue;
    std::string memory;
    for (const GuestRange& range : ranges)
      absl::StrAppend(&memory, memory.empty() ? "" : ", ", range.ToString());
    return absl::InvalidArgumentError(absl::StrCat("the DMA window ", window.ToString(),
                                                   " is not inside guest memory (", memory, ")"));
  }
  return absl::OkStatus();
}

uint64_t WirePolicy::BytesToWire(const GuestRange& range) const {
  if (kind_ == WirePolicyKind::kAll) return range.size();
  uint64_t bytes = 0;
  for (const GuestRange& window : windows_) {
    const std::optional<GuestRange> part = window.Intersect(range);
    if (part.has_value()) bytes += part->size();
  }
  return bytes;
}

absl::StatusOr<SlotBacking> WirePolicy::Apply(VmMap& map, const GuestRange& range,
                                              const WireProgress& progress) const {
  if (kind_ == WirePolicyKind::kAll) {
    VMWIRE_ASSIGN_OR_RETURN(WiredRange wired,
                            map.Wire(range, WireFlags::kSystem, {.progress = progress}));
    return SlotBacking(std::move(wired));
  }
  VMWIRE_ASSIGN_OR_RETURN(MappedRange mapped, map.KeepMapped(range));
  const uint64_t total = BytesToWire(range);
  uint64_t done_before = 0;
  WireProgress of_all;
  if (progress) {
    of_all = [&](uint64_t done, uint64_t) { return progress(done_before + done, total); };
  }
  std::vector<WiredRange> windows;
  for (const GuestRange& window : windows_) {
    const std::optional<GuestRange> part = window.Intersect(range);
    if (!part.has_value()) continue;
    VMWIRE_ASSIGN_OR_RETURN(WiredRange wired,
                            map.Wire(*part, WireFlags::kSystem, {.progress = of_all}));
    windows.push_back(std::move(wired));
    done_before += part->size();
  }
  return SlotBacking(UnwiredByPolicy(std::move(mapped), std::move(windows)));
}

}  // namespace vmwire
