#include "vmm/cpu_group.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"

namespace vmwire {
namespace {

// Threads that are made while it lives leave signals to those that are there already.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

CpuGroup::CpuGroup(const Machine& machine, std::span<const std::unique_ptr<Vcpu>> vcpus,
                   StopRequest& stop)
    : has_irqchip_(machine.has_irqchip), stop_(stop) {
  for (const std::unique_ptr<Vcpu>& vcpu : vcpus) {
    const std::optional<uint32_t> number =
        vcpus.size() > 1 ? std::optional(vcpu->id()) : std::nullopt;
    loops_.push_back(std::make_unique<RunLoop>(
        RunLoop::Machine{.vcpu = *vcpu,
                         .ports = machine.ports,
                         .mmio = machine.mmio,
                         .exit_latch = machine.exit_latch,
                         .memory = machine.memory,
                         .complete_emulation = machine.complete_emulation,
                         .completed = machine.completed,
                         .cpu = number,
                         .on_interruption =
                             [this, &vcpu = *vcpu, index = loops_.size()] {
                               if (sleep_watch_.has_value()) {
                                 sleep_watch_->Answer(index, SleepsForEver(vcpu));
                               }
                             }},
        stop));
  }
}

RunOutcome CpuGroup::Run() {
  std::vector<std::thread> others;
  try {
    const SignalsBlocked blocked;
    if (has_irqchip_) sleep_watch_.emplace(stop_, loops_.size());
    for (size_t i = 1; i < loops_.size(); ++i) others.emplace_back([this, i] { RunOne(i); });
  } catch (const std::system_error& error) {
    Leave({RunOutcome::Kind::kRunFailed, 0,
           absl::StrFormat("no thread to run a machine of %d CPUs: %s; use a smaller --cpus, or "
                           "allow more threads (`ulimit -u`, pids.max of the cgroup)\n",
                           loops_.size(), error.what())});
  }
  // At once if the threads are not all there.
  RunOne(0);
  for (std::thread& other : others) other.join();
  sleep_watch_.reset();
  return TakeOutcome();
}

void CpuGroup::RunOne(size_t index) { Leave(loops_[index]->Run()); }

void CpuGroup::Leave(RunOutcome outcome) {
  {
    const MutexLock lock(mutex_);
    if (!first_.has_value()) first_ = std::move(outcome);
  }
  stop_.Stop(StopRequest::kGuestEnded);
}

RunOutcome CpuGroup::TakeOutcome() {
  RunOutcome outcome;
  {
    const MutexLock lock(mutex_);
    outcome = *std::exchange(first_, std::nullopt);
  }
  if (outcome.kind != RunOutcome::Kind::kInterrupted) return outcome;
  if (stop_.reason() == StopRequest::kAsleep) return {RunOutcome::Kind::kHalted};
  if (stop_.reason() == StopRequest::kTimeLimit) {
    for (const std::unique_ptr<RunLoop>& loop : loops_) outcome.report += loop->Describe();
  }
  return outcome;
}

RunStats CpuGroup::stats() const {
  RunStats all;
  for (const std::unique_ptr<RunLoop>& loop : loops_) all.Add(loop->stats());
  return all;
}

}  // namespace vmwire
