#include "vmm/cli/expect_watch.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace vmwire {
namespace {

// Of libstdc++, which compiles the expression to an automaton that follows all ways at once then.
// Its other matcher goes back and forth: that takes exponential time for some expressions, and a
// stack frame for each character of the text.
constexpr std::regex::flag_type kSyntax = std::regex_constants::ECMAScript |
                                          std::regex_constants::nosubs |
                                          std::regex_constants::__polynomial;

// In front of an expression that is matched from the start of the text only: the same as to search
// for the expression, but in one pass. (A search tries each position anew, in quadratic time.) The
// anchors of the expression see the same text around them.
constexpr char kAnyBefore[] = "[\\s\\S]*?";

// "(?=" or "(?!", for each of which the automaton follows the rest of the text again and again.
bool HasLookahead(const std::string& text) {
  bool in_brackets = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (in_brackets) {
      in_brackets = text[i] != ']';
    } else if (text[i] == '[') {
      in_brackets = true;
    } else if (text.compare(i, 3, "(?=") == 0 || text.compare(i, 3, "(?!") == 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::regex> ParseExpression(const std::string& text) {
  if (text.empty()) return absl::InvalidArgumentError("the expression is empty: it matches always");
  if (text.size() > kMaxExpression) {
    return absl::InvalidArgumentError(
        absl::StrCat("the expression has ", text.size(), " characters; at most ", kMaxExpression));
  }
  if (HasLookahead(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", absl::Utf8SafeCHexEscape(text),
                     "' looks ahead, with (?= or (?!, which takes too long in long lines; say what "
                     "the line has instead"));
  }
  try {
    // By itself first: what is wrong with it, nothing around it may mend.
    const std::regex alone(text, kSyntax);
    return std::regex(absl::StrCat(kAnyBefore, "(?:", text, ")"), kSyntax);
  } catch (const std::regex_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("'", absl::Utf8SafeCHexEscape(text),
                                                   "' is no regular expression: ", error.what()));
  }
}

void ExpectWatch::Feed(GuestStream stream, std::span<const std::byte> bytes) {
  const MutexLock lock(mutex_);
  Line& line = lines_[static_cast<size_t>(stream)];
  const char* next = reinterpret_cast<const char*>(bytes.data());
  const char* const end = next + bytes.size();
  while (next != end && !seen_) {
    const char* const newline = std::find(next, end, '\n');
    FeedPiece(line, next, newline);
    if (newline == end) return;
    Search(line, true);
    line = Line{};
    next = newline + 1;
  }
}

void ExpectWatch::End() {
  const MutexLock lock(mutex_);
  for (const Line& line : lines_) {
    if (!line.text.empty()) Search(line, true);
  }
}

bool ExpectWatch::seen() const {
  const MutexLock lock(mutex_);
  return seen_;
}

void ExpectWatch::FeedPiece(Line& line, const char* begin, const char* end) {
  while (begin != end && !seen_) {
    const auto room = static_cast<std::ptrdiff_t>(kExpectWindow - line.text.size());
    const char* const piece_end = begin + std::min(room, end - begin);
    line.text.append(begin, piece_end);
    begin = piece_end;
    Search(line, false);
    if (line.text.size() < kExpectWindow) continue;
    line.text.erase(0, kExpectWindow / 2);
    line.is_start = false;
  }
}

void ExpectWatch::Search(const Line& line, bool has_ended) {
  if (seen_) return;
  // The carriage return of a line's end is no part of the line.
  const size_t size = line.text.size() - (has_ended && line.text.ends_with('\r') ? 1 : 0);
  auto flags = std::regex_constants::match_continuous;
  if (!line.is_start) flags |= std::regex_constants::match_not_bol;
  if (!has_ended) flags |= std::regex_constants::match_not_eol;
  if (!std::regex_search(line.text.data(), line.text.data() + size, expression_, flags)) return;
  seen_ = true;
  seen_callback_();
}

}  // namespace vmwire
