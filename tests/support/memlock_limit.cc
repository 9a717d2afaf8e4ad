#include "tests/support/memlock_limit.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "memory/check.h"
#include "memory/errno_status.h"

namespace vmwire {
namespace {

constexpr uint32_t kIpcLock = uint32_t{1} << CAP_IPC_LOCK;

// The two words of this thread's capabilities; there is no wrapper without libcap.
struct Capabilities {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};

  Capabilities() { VMWIRE_CHECK(syscall(SYS_capget, &header, data) == 0, "capget"); }
  void Apply() { VMWIRE_CHECK(syscall(SYS_capset, &header, data) == 0, "capset"); }
};

}  // namespace

MemlockLimit::MemlockLimit() {
  VMWIRE_CHECK(getrlimit(RLIMIT_MEMLOCK, &before_) == 0, "getrlimit");
  Capabilities capabilities;
  had_capability_ = (capabilities.data[0].effective & kIpcLock) != 0;
  capabilities.data[0].effective &= ~kIpcLock;
  capabilities.Apply();
}

MemlockLimit::~MemlockLimit() {
  VMWIRE_CHECK(setrlimit(RLIMIT_MEMLOCK, &before_) == 0, "setrlimit");
  if (!had_capability_) return;
  Capabilities capabilities;
  capabilities.data[0].effective |= kIpcLock;
  capabilities.Apply();
}

absl::Status MemlockLimit::Set(uint64_t bytes) {
  rlimit limit = before_;
  limit.rlim_cur = bytes;
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return ErrnoStatus(errno, "setting RLIMIT_MEMLOCK");
  return absl::OkStatus();
}

}  // namespace vmwire
