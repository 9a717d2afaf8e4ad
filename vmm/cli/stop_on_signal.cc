#include "vmm/cli/stop_on_signal.h"

#include <atomic>
#include <cstddef>

namespace vmwire {
namespace {

// A signal handler needs one place to find it; set while a StopOnSignal lives.
std::atomic<StopRequest*> stop_of_process = nullptr;

extern "C" void StopOfProcess(int signal) {
  if (StopRequest* stop = stop_of_process.load()) stop->Stop(signal);
}

}  // namespace

StopOnSignal::StopOnSignal(StopRequest& stop) {
  stop_of_process = &stop;
  struct sigaction action = {};
  action.sa_handler = StopOfProcess;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &action, &before_[i]);
    if (before_[i].sa_handler == SIG_IGN) sigaction(kSignals[i], &before_[i], nullptr);
  }
}

StopOnSignal::~StopOnSignal() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  stop_of_process = nullptr;
}

}  // namespace vmwire
