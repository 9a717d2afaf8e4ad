#include "vmm/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace vmwire {
namespace {

const char* EscapeOf(TextColor color) {
  switch (color) {
    case TextColor::kRed:
      return "\x1b[31m";
    case TextColor::kYellow:
      return "\x1b[33m";
    case TextColor::kGreen:
      return "\x1b[32m";
  }
  return "";
}

}  // namespace

bool IsTerminal(int fd) {
  const char* const type = std::getenv("TERM");
  return isatty(fd) == 1 && type != nullptr && *type != '\0' && std::string_view(type) != "dumb";
}

bool MayUseColor(int fd) {
  const char* const no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && IsTerminal(fd);
}

int TerminalWidth(int fd) {
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string Colored(const std::string& text, TextColor color, bool use_color) {
  if (!use_color) return text;
  return absl::StrCat(EscapeOf(color), text, "\x1b[0m");
}

}  // namespace vmwire
