// What may be written to a file descriptor besides plain text: whether a person watches it,
// colours, and how wide it is.
//
// Invariants: colours and redrawn lines only ever go to a terminal, and colours never where
// NO_COLOR is set (no-color.org).
//
// Thread safety: reads the environment; safe while no thread changes it.
#ifndef VMWIRE_VMM_CLI_TERMINAL_H_
#define VMWIRE_VMM_CLI_TERMINAL_H_

#include <string>

namespace vmwire {

enum class TextColor { kRed, kYellow, kGreen };

// True if `fd` is a terminal that can redraw a line: isatty(3), and TERM is set and not "dumb".
bool IsTerminal(int fd);

// True if colours may be written to `fd`: a terminal, and NO_COLOR is unset or empty.
bool MayUseColor(int fd);

// The columns of the terminal `fd`; 80 where it does not say.
int TerminalWidth(int fd);

// `text` between the escape sequences of a colour (ECMA-48 SGR), or as it is if `use_color` is
// false.
std::string Colored(const std::string& text, TextColor color, bool use_color);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_TERMINAL_H_
