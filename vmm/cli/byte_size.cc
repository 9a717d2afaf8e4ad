#include "vmm/cli/byte_size.h"

#include <array>
#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace vmwire {
namespace {

struct Unit {
  const char* letter;
  const char* name;
  int shift;
};
constexpr std::array<Unit, 4> kUnits = {
    {{"t", "TiB", 40}, {"g", "GiB", 30}, {"m", "MiB", 20}, {"k", "KiB", 10}}};

absl::Status BadSize(const std::string& text, const std::string& reason) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", absl::Utf8SafeCHexEscape(text), "' is not a size: ", reason));
}

// The power of two that a unit's text stands for; nullopt if it is none.
std::optional<int> ShiftOf(const std::string& unit) {
  if (unit.empty() || unit == "b") return 0;
  for (const Unit& known : kUnits) {
    if (unit.substr(0, 1) != known.letter) continue;
    const std::string rest = unit.substr(1);
    if (rest.empty() || rest == "b" || rest == "ib") return known.shift;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<uint64_t> ParseByteSize(const std::string& text) {
  if (text.empty()) return BadSize(text, "it is empty; write for example 128M");
  if (text[0] == '-') return BadSize(text, "it is negative");
  const std::string lower = absl::AsciiStrToLower(text);
  const bool is_hex = absl::StartsWith(lower, "0x");
  const size_t first = is_hex ? 2 : 0;
  size_t end = first;
  while (end < lower.size() &&
         (is_hex ? absl::ascii_isxdigit(static_cast<unsigned char>(lower[end]))
                 : absl::ascii_isdigit(static_cast<unsigned char>(lower[end])))) {
    ++end;
  }
  if (end == first) return BadSize(text, "it does not start with a number; write for example 128M");
  if (end < lower.size() && (lower[end] == '.' || lower[end] == ',')) {
    return BadSize(text, "a fraction; write whole numbers, 1536M for 1.5G");
  }
  const std::optional<int> shift = ShiftOf(lower.substr(end));
  if (!shift.has_value()) {
    return BadSize(text, "unknown unit; K, M, G and T (powers of 1024) are known");
  }
  const std::string digits = lower.substr(first, end - first);
  uint64_t number = 0;
  const bool fits =
      is_hex ? absl::SimpleHexAtoi(digits, &number) : absl::SimpleAtoi(digits, &number);
  if (!fits || number > UINT64_MAX >> *shift) return BadSize(text, "it is beyond 64 bits");
  return number << *shift;
}

std::string FormatByteSize(uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    const uint64_t one = uint64_t{1} << unit.shift;
    if (bytes < one) continue;
    if (bytes % one == 0) return absl::StrFormat("%d %s", bytes / one, unit.name);
    return absl::StrFormat("%.2f %s", static_cast<double>(bytes) / static_cast<double>(one),
                           unit.name);
  }
  return absl::StrFormat("%d B", bytes);
}

}  // namespace vmwire
