// How the vmwire command says that something went wrong: one line on stderr, with its own name in
// front.
//
// Invariants: one call, one line.
// Thread safety: a line is written whole.
#ifndef VMWIRE_VMM_CLI_MESSAGES_H_
#define VMWIRE_VMM_CLI_MESSAGES_H_

#include <string>

#include "absl/status/status.h"

namespace vmwire {

// "vmwire: message".
void PrintError(const std::string& message);
// The message of `error`; its code is for programs. REQUIRES: !error.ok().
void PrintError(const absl::Status& error);

}  // namespace vmwire

#endif  // VMWIRE_VMM_CLI_MESSAGES_H_
