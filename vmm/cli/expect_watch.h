// Looks for a regular expression in what a guest prints.
//
// Lines are searched one by one, also the one that has not ended yet: a prompt has no newline. So
// an expression matches within a line only; '^' and '$' are its start and its end. A line longer
// than kExpectWindow is searched in windows of that size which overlap by half. The end of all
// output ends a line too.
//
// Guest output is hostile: the expressions are matched by an automaton whose stack does not grow
// with the text, and whose time grows as the text does: a search is one pass over a window
// (ECMAScript syntax, without back references and lookahead).
//
// Invariants: `seen` is called at most once. At most kExpectWindow bytes of each stream are kept.
// Thread safety: thread-safe. `seen` is called by the thread that brought or ended the text, under
// the object's mutex, which is a leaf but for what `seen` takes.
#ifndef VMWIRE_VMM_CLI_EXPECT_WATCH_H_
#define VMWIRE_VMM_CLI_EXPECT_WATCH_H_

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <regex>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "memory/mutex.h"

namespace vmwire {

inline constexpr size_t kExpectWindow = 4096;
// Nobody writes a longer one, and the automaton grows with it.
inline constexpr size_t kMaxExpression = 1024;

// Where a guest prints. Lines of one are not mixed with lines of the other.
enum class GuestStream : size_t { kSerial, kConsole };

// What matches the start of a line, up to the end of the first piece in which `text` matches: to be
// used with match_continuous. InvalidArgument, saying what is wrong with it: `text` is no regular
// expression of ECMAScript, has a back reference or a lookahead, is empty or longer than
// kMaxExpression.
absl::StatusOr<std::regex> ParseExpression(const std::string& text);

class ExpectWatch {
 public:
  // `expression`: of ParseExpression.
  ExpectWatch(std::regex expression, std::function<void()> seen)
      : expression_(std::move(expression)), seen_callback_(std::move(seen)) {}
  ExpectWatch(const ExpectWatch&) = delete;
  ExpectWatch& operator=(const ExpectWatch&) = delete;

  // Looks at what the guest printed next. Nothing is looked at once the text was seen.
  void Feed(GuestStream stream, std::span<const std::byte> bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  // The guest has printed all that it will: what has no newline at its end is a line too.
  void End() ABSL_LOCKS_EXCLUDED(mutex_);

  bool seen() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The end of what a stream printed, from the start of its line or of a window in that.
  struct Line {
    std::string text;
    bool is_start = true;  // `text` begins where the line does.
  };

  void FeedPiece(Line& line, const char* begin, const char* end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Search(const Line& line, bool has_ended) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::regex expression_;
  const std::function<void()> seen_callback_;
  mutable Mutex mutex_;
  std::array<Line, 2> lines_ ABSL_GUARDED_BY(mutex_);
  bool seen_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_EXPECT_WATCH_H_
