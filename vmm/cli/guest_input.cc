#include "vmm/cli/guest_input.h"

#include <unistd.h>

#include <cstdio>

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
      escape_key_([&stop] { stop.Stop(StopRequest::kNoSignal); }, PrintKeys) {}

absl::StatusOr<std::unique_ptr<GuestInput>> GuestInput::Open(Interaction interaction,
                                                             bool has_console, StopRequest& stop) {
  std::unique_ptr<GuestInput> input(new GuestInput(interaction, has_console, stop));
  if (interaction == Interaction::kConsole && input->has_escape_key_) {
    VMWIRE_ASSIGN_OR_RETURN(input->filtered_,
                            FilteredInput::Start(STDIN_FILENO, input->MakeFilter()));
  }
  return input;
}

int GuestInput::serial_input() const {
  return interaction_ == Interaction::kSerial ? STDIN_FILENO : -1;
}

InputFilter GuestInput::serial_filter() {
  return interaction_ == Interaction::kSerial && has_escape_key_ ? MakeFilter() : InputFilter();
}

int GuestInput::console_input() const {
  if (!has_console_ || interaction_ == Interaction::kSerial) return -1;
  return filtered_ != nullptr ? filtered_->output() : STDIN_FILENO;
}

absl::Status GuestInput::TakeTerminal() {
  if (!has_escape_key_) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(terminal_, RawTerminal::Enter(STDIN_FILENO));
  PrintKeys();
  return absl::OkStatus();
}

InputFilter GuestInput::MakeFilter() {
  return [this](std::span<const std::byte> typed) { return escape_key_.Filter(typed); };
}

}  // namespace vmwire
