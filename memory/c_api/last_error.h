// The sentence of a thread's last failing call of the C API, and the KERN_* code of a status.
//
// Each function of the API ends in Succeed or in a form of Fail.
//
// Invariants: none.
// Thread safety: a sentence is its thread's own.
#ifndef VMWIRE_MEMORY_C_API_LAST_ERROR_H_
#define VMWIRE_MEMORY_C_API_LAST_ERROR_H_

#include <optional>
#include <string>

#include "absl/status/status.h"

namespace vmwire {

// KERN_SUCCESS; the thread's sentence is "" from now on.
int Succeed();
// `code`; the thread's sentence is `sentence` from now on.
int Fail(int code, std::string sentence);
int Fail(int code, const absl::Status& status);
// Null, with errno set to `error`.
std::nullptr_t FailWithErrno(int error, std::string sentence);

// "" after a success. Good until the thread's next call of one of the others.
const char* LastError();

// A status that stands for the KERN_* code, whatever its own code is: what a simulated fault fails
// with.
absl::Status KernStatus(int code, const std::string& sentence);
// The code of a KernStatus; nullopt for any other.
std::optional<int> KernCodeIn(const absl::Status& status);

// "KERN_FAILURE (5)"; nullopt: the header has no such code.
std::optional<std::string> KernCodeName(int code);

// The errno of a host's refusal to make an object.
int ErrnoOf(const absl::Status& status);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_C_API_LAST_ERROR_H_
