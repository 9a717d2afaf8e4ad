#include "memory/vm_map_entry.h"

#include "absl/strings/str_format.h"

namespace vmwire {

bool Continues(const VmMapEntry& low, const VmMapEntry& high) {
  if (low.range.end() != high.range.start() || low.object != high.object) return false;
  return low.IsGuard() || low.offset + low.range.size() == high.offset;
}

bool CanMerge(const VmMapEntry& low, const VmMapEntry& high) {
  return Continues(low, high) && low.protection == high.protection &&
         low.max_protection == high.max_protection && low.system_wires == high.system_wires &&
         low.token_wires == high.token_wires && low.user_wired == high.user_wired &&
         low.mapped_tokens == high.mapped_tokens && low.transition == nullptr &&
         high.transition == nullptr && !high.clipped;
}

std::string ToString(const VmMapEntry& entry) {
  if (entry.IsGuard()) return entry.range.ToString() + " guard";
  return absl::StrFormat("%s %s max %s offset 0x%x wires %d (tokens %d) user %d mapped %d%s",
                         entry.range.ToString(), ToString(entry.protection),
                         ToString(entry.max_protection), entry.offset, entry.system_wires,
                         entry.token_wires, entry.user_wired ? 1 : 0, entry.mapped_tokens,
                         entry.transition == nullptr ? "" : " in transition");
}

}  // namespace vmwire
