#include "memory/pinner.h"

namespace vmwire {

std::string ToString(PinLevel level) {
  return level == PinLevel::kResident ? "resident" : "pinned";
}

}  // namespace vmwire
