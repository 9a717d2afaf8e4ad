#include "vmm/stop_request.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace vmwire {
namespace {

// The kvm_run of the vCPU that this thread runs. Written and read by one thread, and by signal
// handlers on it.
thread_local constinit std::atomic<kvm_run*> thread_run = nullptr;

void MarkImmediateExit(int /*signal*/) {
  kvm_run* const run = thread_run.load(std::memory_order_relaxed);
  if (run != nullptr) __atomic_store_n(&run->immediate_exit, uint8_t{1}, __ATOMIC_RELAXED);
}

void InstallKickHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_handler = MarkImmediateExit;
    action.sa_flags = SA_RESTART;  // The thread's other system calls are none of our business.
    sigemptyset(&action.sa_mask);
    sigaction(SIGRTMIN, &action, nullptr);
  });
}

sigset_t KickSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  return set;
}

}  // namespace

void StopRequest::Stop(int signal) noexcept {
  int expected = kNone;
  if (!signal_.compare_exchange_strong(expected, signal)) return;
  const pid_t thread = thread_.load();
  if (thread == 0) return;  // Whoever starts a run looks at signal_ after it has set thread_.
  const int saved_errno = errno;
  // A thread that has ended meanwhile is not found, which is as good.
  syscall(SYS_tgkill, getpid(), thread, SIGRTMIN);
  errno = saved_errno;
}

StopRequest::Target::Target(StopRequest& request, kvm_run& run) : request_(request) {
  InstallKickHandler();
  const sigset_t kick = KickSet();
  sigset_t before;
  pthread_sigmask(SIG_UNBLOCK, &kick, &before);
  was_blocked_ = sigismember(&before, SIGRTMIN) == 1;
  run.immediate_exit = 0;
  thread_run.store(&run, std::memory_order_relaxed);
  request_.thread_.store(static_cast<pid_t>(syscall(SYS_gettid)));
}

StopRequest::Target::~Target() {
  request_.thread_.store(0);
  thread_run.store(nullptr, std::memory_order_relaxed);
  if (!was_blocked_) return;
  const sigset_t kick = KickSet();
  pthread_sigmask(SIG_BLOCK, &kick, nullptr);
}

}  // namespace vmwire
