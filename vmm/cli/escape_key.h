// The key by which a person talks to the monitor while the terminal is the guest's: Ctrl-A, then
//
//   x       end the machine        Ctrl-A   give the guest one Ctrl-A
//   h or ?  say which keys there are
//
// Any other key after Ctrl-A does nothing.
//
// Invariants: but for these, every byte goes to the guest, in order.
// Thread safety: one thread at a time.
#ifndef VMWIRE_VMM_CLI_ESCAPE_KEY_H_
#define VMWIRE_VMM_CLI_ESCAPE_KEY_H_

#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace vmwire {

// What is told at the start, and at Ctrl-A h. Lines are ended.
inline constexpr char kEscapeKeyHelp[] =
    "Ctrl-A x ends the machine, Ctrl-A Ctrl-A sends one Ctrl-A, Ctrl-A h says this again.\n";

class EscapeKey {
 public:
  // `end` and `help` are what the keys do; they are called within Filter.
  EscapeKey(std::function<void()> end, std::function<void()> help)
      : end_(std::move(end)), help_(std::move(help)) {}

  // Of what was typed, that which the guest gets. An escape may begin in one call and end in the
  // next.
  std::vector<std::byte> Filter(std::span<const std::byte> typed);

 private:
  std::function<void()> end_;
  std::function<void()> help_;
  bool is_escaped_ = false;  // The last byte was the escape key.
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_ESCAPE_KEY_H_
