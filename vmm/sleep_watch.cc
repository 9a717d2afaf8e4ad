#include "vmm/sleep_watch.h"

#include <algorithm>

#include "vmm/cpu_bits.h"
#include "vmm/nmi_wiring.h"

namespace vmwire {

bool SleepsForEver(const Vcpu& vcpu) {
  const absl::StatusOr<uint32_t> state = vcpu.GetMpState();
  if (!state.ok()) return false;
  if (*state == KVM_MP_STATE_UNINITIALIZED || *state == KVM_MP_STATE_INIT_RECEIVED) return true;
  if (*state != KVM_MP_STATE_HALTED) return false;
  const absl::StatusOr<kvm_regs> regs = vcpu.GetRegs();
  return regs.ok() && (regs->rflags & cpu_bits::kFlagsInterrupts) == 0 && !MayGetNmi(vcpu);
}

bool SleepRounds::End() {
  const bool all = std::all_of(asleep_.begin(), asleep_.end(), [](bool asleep) { return asleep; });
  rounds_asleep_ = all ? rounds_asleep_ + 1 : 0;
  std::fill(asleep_.begin(), asleep_.end(), false);
  return rounds_asleep_ >= 2;
}

SleepWatch::SleepWatch(StopRequest& stop, size_t cpus, std::chrono::milliseconds interval)
    : stop_(stop), interval_(interval), rounds_(cpus), thread_([this] { Watch(); }) {}

SleepWatch::~SleepWatch() {
  {
    const MutexLock lock(mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void SleepWatch::Answer(size_t index, bool sleeps_for_ever) {
  const MutexLock lock(mutex_);
  rounds_.Answer(index, sleeps_for_ever);
}

void SleepWatch::Watch() {
  while (true) {
    {
      const MutexLock lock(mutex_);
      const Deadline end_of_round = std::chrono::steady_clock::now() + interval_;
      while (!ending_ && changed_.Wait(mutex_, end_of_round)) {
      }
      if (ending_) return;
      if (rounds_.End()) break;
    }
    stop_.Kick();
  }
  stop_.Stop(StopRequest::kAsleep);
}

}  // namespace vmwire
