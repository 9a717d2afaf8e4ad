// Where stdin goes: to the virtio console as it is, or, with --interactive, to the serial port or
// the console with the terminal in raw mode and the escape key watched for.
//
// A stdin that is no terminal is passed on as it is: there is nobody to press a key. The key is
// watched for by a thread that does nothing else, so that it also works while nobody takes what the
// guest prints, and whoever reads the input waits for that.
//
// Invariants: the terminal is raw only between TakeTerminal and GiveTerminalBack.
// Thread safety: made and destroyed by one thread.
#ifndef VMWIRE_VMM_CLI_GUEST_INPUT_H_
#define VMWIRE_VMM_CLI_GUEST_INPUT_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/cli/escape_key.h"
#include "vmm/cli/filtered_input.h"
#include "vmm/cli/raw_terminal.h"
#include "vmm/cli/run_options.h"
#include "vmm/stop_request.h"

namespace vmwire {

class GuestInput {
 public:
  // `has_console`: the machine has a virtio console. ResourceExhausted: no descriptors or thread.
  // REQUIRES: `stop` outlives the object, and this outlives the machine.
  static absl::StatusOr<std::unique_ptr<GuestInput>> Open(Interaction interaction, bool has_console,
                                                          StopRequest& stop);
  GuestInput(const GuestInput&) = delete;
  GuestInput& operator=(const GuestInput&) = delete;

  // For MachineHooks: what the serial port and the console read from, -1 for nothing.
  int serial_input() const;
  int console_input() const;

  // Puts the terminal in raw mode, if stdin is one and it is the guest's, and says on stderr which
  // keys there are. Errors of RawTerminal::Enter.
  absl::Status TakeTerminal();
  // Puts it back, if it was taken.
  void GiveTerminalBack() { terminal_.reset(); }

 private:
  GuestInput(Interaction interaction, bool has_console, StopRequest& stop);
  // Where the guest's input comes from, whichever of the two reads it.
  int Source() const;

  const Interaction interaction_;
  const bool has_console_;
  const bool has_escape_key_;
  EscapeKey escape_key_;
  std::unique_ptr<FilteredInput> filtered_;
  std::unique_ptr<RawTerminal> terminal_;
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_GUEST_INPUT_H_
