// The two early returns that every function with a Status uses, since the Abseil of Debian 12 has
// none.
//
// Invariants: each macro evaluates its expression once.
// Thread safety: nothing shared.
#ifndef VMWIRE_MEMORY_STATUS_MACROS_H_
#define VMWIRE_MEMORY_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function with the status of `expr`, unless that is OK.
#define VMWIRE_RETURN_IF_ERROR(expr)                                                    \
  do {                                                                                  \
    if (absl::Status vmwire_status = (expr); !vmwire_status.ok()) return vmwire_status; \
  } while (false)

// Evaluates the StatusOr `expr`; returns its status from the enclosing function, or moves its value
// into `lhs`.
#define VMWIRE_ASSIGN_OR_RETURN(lhs, expr) \
  VMWIRE_ASSIGN_OR_RETURN_IMPL(VMWIRE_CONCAT(vmwire_status_or_, __LINE__), lhs, expr)

#define VMWIRE_ASSIGN_OR_RETURN_IMPL(name, lhs, expr) \
  auto name = (expr);                                 \
  if (!name.ok()) return std::move(name).status();    \
  lhs = *std::move(name)

#define VMWIRE_CONCAT(a, b) VMWIRE_CONCAT_IMPL(a, b)
#define VMWIRE_CONCAT_IMPL(a, b) a##b

#endif  // VMWIRE_MEMORY_STATUS_MACROS_H_
