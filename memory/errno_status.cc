#include "memory/errno_status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_format.h"

namespace vmwire {

absl::Status ErrnoStatus(int error, const std::string& what) {
  const char* name = strerrorname_np(error);
  const std::string message =
      absl::StrFormat("%s: %s (%s)", what,
                      strerrordesc_np(error) != nullptr ? strerrordesc_np(error) : "unknown error",
                      name != nullptr ? name : "no name");
  if (error == EFAULT) return absl::FailedPreconditionError(message);
  return absl::Status(absl::ErrnoToStatusCode(error), message);
}

}  // namespace vmwire
