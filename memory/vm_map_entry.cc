#include "memory/vm_map_entry.h"

#include "absl/strings/str_format.h"

namespace vmwire {

bool CanMerge(const VmMapEntry& low, const VmMapEntry& high) {
  return low.range.end() == high.range.start() && low.object == high.object &&
         low.offset + low.range.size() == high.offset && low.protection == high.protection &&
         low.max_protection == high.max_protection && low.system_wires == high.system_wires &&
         low.token_wires == high.token_wires && low.user_wired == high.user_wired &&
         low.holds == high.holds;
}

std::string ToString(const VmMapEntry& entry) {
  return absl::StrFormat("%s %s max %s offset 0x%x wires %d (tokens %d) user %d holds %d",
                         entry.range.ToString(), ToString(entry.protection),
                         ToString(entry.max_protection), entry.offset, entry.system_wires,
                         entry.token_wires, entry.user_wired ? 1 : 0, entry.holds);
}

}  // namespace vmwire
