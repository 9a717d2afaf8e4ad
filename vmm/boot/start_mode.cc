#include "vmm/boot/start_mode.h"

namespace vmwire {

std::string ToString(StartMode mode) {
  switch (mode) {
    case StartMode::kReal16:
      return "real16";
    case StartMode::kProtected32:
      return "protected32";
    case StartMode::kLong64Ring0:
      return "long64-ring0";
    case StartMode::kLong64Ring3:
      return "long64-ring3";
  }
  return "unknown";
}

}  // namespace vmwire
