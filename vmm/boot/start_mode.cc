#include "vmm/boot/start_mode.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

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

absl::StatusOr<StartMode> ParseStartMode(absl::string_view text) {
  for (StartMode mode : {StartMode::kReal16, StartMode::kProtected32, StartMode::kLong64Ring0,
                         StartMode::kLong64Ring3}) {
    if (text == ToString(mode)) return mode;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown start mode \"", text,
                   "\": it is one of real16, protected32, long64-ring0, long64-ring3"));
}

}  // namespace vmwire
