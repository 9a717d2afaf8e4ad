// The way from an errno of the kernel to a Status.
//
// Thread safety: no state.
#ifndef VMWIRE_MEMORY_ERRNO_STATUS_H_
#define VMWIRE_MEMORY_ERRNO_STATUS_H_

#include <string>

#include "absl/status/status.h"

namespace vmwire {

// A status with the code that Abseil gives to `error` and the text "what: the error's text
// (ENAME)". The codes that matter here: ENOMEM, EMFILE ResourceExhausted; EPERM, EACCES
// PermissionDenied; EINVAL InvalidArgument; EEXIST AlreadyExists; ENOENT NotFound; EINTR, EAGAIN
// Unavailable; ENOSYS, EOPNOTSUPP Unimplemented. EFAULT, which here means "the host could not give
// that memory", is FailedPrecondition. REQUIRES: error != 0.
absl::Status ErrnoStatus(int error, const std::string& what);

}  // namespace vmwire

#endif  // VMWIRE_MEMORY_ERRNO_STATUS_H_
