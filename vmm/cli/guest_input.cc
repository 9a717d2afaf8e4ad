#include "vmm/cli/guest_input.h"

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <span>

#include "memory/status_macros.h"

namespace vmwire {
namespace {

void PrintKeys() {
  std::fputs("vmwire: ", stderr);
  std::fputs(kEscapeKeyHelp, stderr);
}

}  // namespace

GuestInput::GuestInput(Interaction interaction, bool has_console, StopRequest& stop)
    : interaction_(interaction),
      has_console_(has_console),
      has_escape_key_(interaction != Interaction::kNone && isatty(STDIN_FILENO) == 1),
      escape_key_([&stop] { stop.Stop(StopRequest::kEscapeKey); }, PrintKeys) {}

absl::StatusOr<std::unique_ptr<GuestInput>> GuestInput::Open(Interaction interaction,
                                                             bool has_console, StopRequest& stop) {
  std::unique_ptr<GuestInput> input(new GuestInput(interaction, has_console, stop));
  if (input->has_escape_key_) {
    const auto filter = [&key = input->escape_key_](std::span<const std::byte> typed) {
      return key.Filter(typed);
    };
    VMWIRE_ASSIGN_OR_RETURN(input->filtered_, FilteredInput::Start(STDIN_FILENO, filter));
  }
  return input;
}

int GuestInput::serial_input() const {
  return interaction_ == Interaction::kSerial ? Source() : -1;
}

int GuestInput::console_input() const {
  return has_console_ && interaction_ != Interaction::kSerial ? Source() : -1;
}

int GuestInput::Source() const { return filtered_ != nullptr ? filtered_->output() : STDIN_FILENO; }

absl::Status GuestInput::TakeTerminal() {
  if (!has_escape_key_) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(terminal_, RawTerminal::Enter(STDIN_FILENO));
  PrintKeys();
  return absl::OkStatus();
}

}  // namespace vmwire
