#include "vmm/cli/run_command.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "memory/host_limits.h"
#include "memory/host_memory_linux.h"
#include "memory/status_macros.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/messages.h"
#include "vmm/cli/progress_bar.h"
#include "vmm/kvm_api_linux.h"
#include "vmm/machine.h"
#include "vmm/run_summary.h"

namespace vmwire {
namespace {

// Signal handlers need one place to find it; set while a StopOnSignal lives.
std::atomic<StopRequest*> stop_of_process = nullptr;

extern "C" void StopOfProcess(int signal) {
  if (StopRequest* stop = stop_of_process.load()) stop->Stop(signal);
}

// While it lives, SIGINT and SIGTERM ask `stop` for the end of the run instead of ending the
// process.
class StopOnSignal {
 public:
  explicit StopOnSignal(StopRequest& stop) {
    stop_of_process = &stop;
    struct sigaction action = {};
    action.sa_handler = StopOfProcess;
    sigaction(SIGINT, &action, &old_interrupt_);
    sigaction(SIGTERM, &action, &old_terminate_);
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal() {
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
    stop_of_process = nullptr;
  }

 private:
  struct sigaction old_interrupt_ = {};
  struct sigaction old_terminate_ = {};
};

// Writes what the guest printed to stdout. If nobody reads it any more, the guest is stopped as if
// by SIGPIPE.
class GuestOutput {
 public:
  explicit GuestOutput(StopRequest& stop) : stop_(stop) {}

  void Write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Fail();
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }

 private:
  void Fail() {
    if (!failed_)
      PrintError(absl::StrFormat("cannot write the guest's output: %s", strerrordesc_np(errno)));
    failed_ = true;
    stop_.Stop(SIGPIPE);
  }

  StopRequest& stop_;
  bool failed_ = false;
};

void PrintOutcome(const RunOutcome& outcome) {
  if (!outcome.report.empty()) {
    PrintError(absl::StrFormat("the guest died: %s", ToString(outcome.kind)));
    std::fputs(outcome.report.c_str(), stderr);
  }
  if (outcome.kind == RunOutcome::Kind::kExited &&
      outcome.code > static_cast<uint32_t>(kMaxGuestCode)) {
    PrintError(absl::StrFormat("the guest's code %d is above %d and is given as %d", outcome.code,
                               kMaxGuestCode, kMaxGuestCode));
  }
}

struct Launch {
  absl::Status error;  // Of what kept the guest from running; else `outcome` is what became of it.
  RunOutcome outcome = {};
};

Launch LaunchAndRun(const RunOptions& options, Timeline& timeline, StopRequest& stop) {
  const absl::StatusOr<GuestImage> image = LoadGuestImage(options.image_path, options.image);
  if (!image.ok()) return {.error = image.status()};
  absl::StatusOr<HostLimits> limits = ReadHostLimits();
  if (!limits.ok()) return {.error = limits.status()};

  HostMemoryLinux host_memory;
  KvmApiLinux kvm;
  GuestOutput output(stop);
  ProgressBar bar("wiring guest memory");
  const MachineHooks hooks = {
      .serial = [&output](std::span<const std::byte> bytes) { output.Write(bytes); },
      .progress = [&](uint64_t done,
                      uint64_t total) { return bar.Update(done, total) && !stop.requested(); }};
  absl::StatusOr<std::unique_ptr<Machine>> machine = Machine::Create(
      options.machine, *image, {host_memory, kvm, *std::move(limits)}, hooks, timeline);
  bar.Finish();
  if (!machine.ok()) return {.error = machine.status()};
  Launch launch{.error = absl::OkStatus(), .outcome = (*machine)->Run(stop)};
  PrintOutcome(launch.outcome);
  if (options.stats || options.json) {
    const RunSummary summary = Summarize(options.machine, **machine, host_memory, timeline);
    if (options.stats) std::fputs(SummaryTable(summary).c_str(), stderr);
    if (options.json) std::fputs(SummaryJson(summary).c_str(), stderr);
  }
  return launch;
}

}  // namespace

int RunCommand(const RunOptions& options, Timeline& timeline) {
  // A reader of the guest's output that goes away is an error of write, not the end of this
  // process.
  signal(SIGPIPE, SIG_IGN);
  StopRequest stop;
  Launch launch;
  {
    const StopOnSignal stop_on_signal(stop);
    launch = LaunchAndRun(options, timeline, stop);
  }
  if (stop.requested()) {
    // Everything is given back; now the process ends as it would have without us.
    signal(stop.signal(), SIG_DFL);
    raise(stop.signal());
  }
  if (!launch.error.ok()) {
    PrintError(launch.error);
    return ExitStatusOf(launch.error);
  }
  return ExitStatusOf(launch.outcome);
}

}  // namespace vmwire
