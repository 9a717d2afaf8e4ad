#include "vmm/stop_request.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "memory/check.h"

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

void StopRequest::Stop(int reason) noexcept {
  int expected = kNone;
  // Whoever starts a run looks at reason_ after it has set its entry.
  if (reason_.compare_exchange_strong(expected, reason)) Kick();
}

void StopRequest::Kick() noexcept {
  const int saved_errno = errno;
  for (const std::atomic<pid_t>& thread : threads_) {
    // A thread that has ended meanwhile is not found, which is as good.
    if (const pid_t id = thread.load(); id != 0) syscall(SYS_tgkill, getpid(), id, SIGRTMIN);
  }
  errno = saved_errno;
}

void StopRequest::Rearm(kvm_run& run) noexcept {
  // A request sets its reason before it kicks: one whose mark is wiped out here is seen there.
  __atomic_store_n(&run.immediate_exit, uint8_t{0}, __ATOMIC_RELAXED);
}

std::atomic<pid_t>& StopRequest::Claim(pid_t thread) {
  for (std::atomic<pid_t>& slot : threads_) {
    pid_t free = 0;
    if (slot.compare_exchange_strong(free, thread)) return slot;
  }
  VMWIRE_CHECK(false, "more vCPUs than a machine can have");
  return threads_.front();
}

StopRequest::Target::Target(StopRequest& request, kvm_run& run) {
  // Before a kick can come: the default of its signal is to end the process.
  InstallKickHandler();
  run.immediate_exit = 0;
  thread_run.store(&run, std::memory_order_relaxed);
  const sigset_t kick = KickSet();
  sigset_t before;
  pthread_sigmask(SIG_UNBLOCK, &kick, &before);
  was_blocked_ = sigismember(&before, SIGRTMIN) == 1;
  slot_ = &request.Claim(static_cast<pid_t>(syscall(SYS_gettid)));
}

StopRequest::Target::~Target() {
  slot_->store(0);
  thread_run.store(nullptr, std::memory_order_relaxed);
  if (!was_blocked_) return;
  const sigset_t kick = KickSet();
  pthread_sigmask(SIG_BLOCK, &kick, nullptr);
}

}  // namespace vmwire
