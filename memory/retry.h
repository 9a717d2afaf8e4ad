// The bounded answer to a host that says "try again".
//
// Thread safety: no state.
#ifndef VMWIRE_MEMORY_RETRY_H_
#define VMWIRE_MEMORY_RETRY_H_

#include "absl/status/status.h"

namespace vmwire {

// Signals that come again and again must not keep a call from ever ending, nor must one end it.
inline constexpr int kMaxTries = 100;

// Calls `call`, which gives an absl::Status, until that is not Unavailable (EINTR, EAGAIN), at most
// kMaxTries times; what it gave last. REQUIRES: a call that was Unavailable can simply be repeated.
template <typename Call>
absl::Status RetryTransient(Call call) {
  absl::Status status = call();
  for (int i = 1; i < kMaxTries && absl::IsUnavailable(status); ++i) status = call();
  return status;
}

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_RETRY_H_
