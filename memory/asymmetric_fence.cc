#include "memory/asymmetric_fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory/check.h"

namespace vmwire {
namespace {

long Membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

bool Register() {
  const long offered = Membarrier(MEMBARRIER_CMD_QUERY);
  if (offered < 0 || (offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return false;
  if (Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0) return false;
  fence_internal::light_is_free.store(true, std::memory_order_release);
  return true;
}

}  // namespace

bool PrepareFences() {
  // Whoever comes second waits for the first: so a heavy half cannot think that light ones are full
  // fences when some are not.
  static const bool registered = Register();
  return registered;
}

void HeavyFence() {
  if (PrepareFences()) {
    VMWIRE_CHECK(Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0,
                 "membarrier(2) fails for a process that is registered for it");
    return;
  }
#if !VMWIRE_FENCES_BY_ACCESS
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace vmwire
