#include "memory/pinner.h"

namespace vmwire {

std::string ToString(PinLevel level) {
  switch (level) {
    case PinLevel::kResident:
      return "resident";
    case PinLevel::kPinned:
      return "pinned";
    case PinLevel::kGuarded:
      return "guarded";
  }
  return "unknown";
}

}  // namespace vmwire
