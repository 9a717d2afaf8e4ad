// Durations as people write them: "30s", "500ms", "2m".
//
// Invariants: nothing is rounded.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_DURATION_H_
#define VMWIRE_VMM_CLI_DURATION_H_

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

namespace vmwire {

// The longest duration that anybody may ask for.
inline constexpr std::chrono::milliseconds kMaxDuration = std::chrono::hours(24 * 365);

// The duration that `text` names: a whole decimal number, then ms, s, m or h; a number alone is
// seconds. InvalidArgument: empty, zero, negative, a fraction, an unknown unit, or beyond
// kMaxDuration.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(const std::string& text);

// "500 ms", "1.20 s", "2 min 5 s".
std::string FormatDuration(std::chrono::milliseconds duration);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_DURATION_H_
