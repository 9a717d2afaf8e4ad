#include "vmm/cli/duration.h"

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace vmwire {
namespace {

struct Unit {
  const char* name;
  int64_t milliseconds;
};
constexpr std::array<Unit, 5> kUnits = {
    {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};

absl::Status Bad(const std::string& text, const std::string& reason) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", absl::Utf8SafeCHexEscape(text), "' is not a duration: ", reason));
}

}  // namespace

absl::StatusOr<std::chrono::milliseconds> ParseDuration(const std::string& text) {
  size_t end = 0;
  while (end < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[end]))) ++end;
  if (end == 0) return Bad(text, "it does not start with a number; write for example 30s");
  const std::string unit = absl::AsciiStrToLower(text.substr(end));
  if (unit[0] == '.' || unit[0] == ',') return Bad(text, "a fraction; write 1500ms for 1.5s");
  for (const Unit& known : kUnits) {
    if (unit != known.name) continue;
    int64_t number = 0;
    const int64_t most = kMaxDuration.count() / known.milliseconds;
    if (!absl::SimpleAtoi(text.substr(0, end), &number) || number > most) {
      return Bad(text, "it is more than a year");
    }
    if (number == 0) return Bad(text, "it is no time at all");
    return std::chrono::milliseconds(number * known.milliseconds);
  }
  return Bad(text, "unknown unit; ms, s, m and h are known");
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  const int64_t count = duration.count();
  if (count < 1000) return absl::StrFormat("%d ms", count);
  if (count < 60'000) {
    if (count % 1000 == 0) return absl::StrFormat("%d s", count / 1000);
    return absl::StrFormat("%.2f s", static_cast<double>(count) / 1000);
  }
  const int64_t seconds = count / 1000;
  if (seconds % 60 == 0) return absl::StrFormat("%d min", seconds / 60);
  return absl::StrFormat("%d min %d s", seconds / 60, seconds % 60);
}

}  // namespace vmwire
