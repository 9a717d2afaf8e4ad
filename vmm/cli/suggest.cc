#include "vmm/cli/suggest.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace vmwire {
namespace {

// The optimal string alignment distance, row by row; O(|a| |b|).
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<std::string> NearestWord(const std::string& word,
                                       const std::vector<std::string>& known) {
  const std::string wanted = absl::AsciiStrToLower(word);
  std::optional<std::string> nearest;
  size_t nearest_distance = 0;
  for (const std::string& candidate : known) {
    const size_t farthest = std::max<size_t>(1, candidate.size() / 3);
    // The lengths alone tell; this also bounds the work on a word of any length.
    if (wanted.size() > candidate.size() + farthest) continue;
    const size_t distance = EditDistance(wanted, absl::AsciiStrToLower(candidate));
    // All of a short word replaced is no resemblance.
    if (distance > farthest || distance >= candidate.size()) continue;
    if (nearest.has_value() && distance >= nearest_distance) continue;
    nearest = candidate;
    nearest_distance = distance;
  }
  return nearest;
}

std::string UnknownWordMessage(const std::string& kind, const std::string& word,
                               const std::vector<std::string>& known) {
  const std::string start =
      absl::StrCat("unknown ", kind, " '", absl::Utf8SafeCHexEscape(word), "'; ");
  const std::optional<std::string> nearest = NearestWord(word, known);
  if (nearest.has_value()) return absl::StrCat(start, "did you mean '", *nearest, "'?");
  return absl::StrCat(start, "known: ", absl::StrJoin(known, ", "));
}

}  // namespace vmwire
