// The nearest known word to one that a user mistyped, and the message that says so.
//
// Invariants: the messages escape what is not printable in the user's word.
// Thread safety: nothing shared.
#ifndef VMWIRE_VMM_CLI_SUGGEST_H_
#define VMWIRE_VMM_CLI_SUGGEST_H_

#include <optional>
#include <string>
#include <vector>

namespace vmwire {

// The known word with the smallest edit distance to `word` (insert, delete, replace or swap two
// neighbours: 1 each), whatever the case of the letters; the first of several. Nullopt if none is
// nearer than a third of its own length, or 1 for short words: then a suggestion would be a guess.
std::optional<std::string> NearestWord(const std::string& word,
                                       const std::vector<std::string>& known);

// "unknown key 'sise'; did you mean 'size'?", or, with no near word, "unknown key 'foo'; known:
// size, backing". `kind` says what the word is: "key", "command".
std::string UnknownWordMessage(const std::string& kind, const std::string& word,
                               const std::vector<std::string>& known);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_SUGGEST_H_
