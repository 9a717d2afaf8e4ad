#include "vmm/cli/run_command.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "memory/host_limits.h"
#include "memory/host_memory_linux.h"
#include "memory/mutex.h"
#include "memory/pin_proof.h"
#include "memory/status_macros.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/messages.h"
#include "vmm/cli/progress_bar.h"
#include "vmm/cli/window_watch.h"
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
    Take(SIGINT, action, old_interrupt_);
    Take(SIGTERM, action, old_terminate_);
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal() {
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
    stop_of_process = nullptr;
  }

 private:
  // Who started us with a signal ignored, as a shell does for a background job, wants it so.
  static void Take(int signal, const struct sigaction& action, struct sigaction& old) {
    sigaction(signal, &action, &old);
    if (old.sa_handler == SIG_IGN) sigaction(signal, &old, nullptr);
  }

  struct sigaction old_interrupt_ = {};
  struct sigaction old_terminate_ = {};
};

// Writes what the guest printed to stdout, by its serial port and its console, each write whole.
// Where nobody takes it, a stop request still ends the run. Thread-safe.
class GuestOutput {
 public:
  explicit GuestOutput(StopRequest& stop) : stop_(stop) {}

  void Write(std::span<const std::byte> bytes) {
    const MutexLock lock(mutex_);
    // A pipe that is ready takes PIPE_BUF whole, so that no write blocks.
    while (!bytes.empty() && error_ == 0) {
      pollfd out = {STDOUT_FILENO, POLLOUT, 0};
      // Bounded, since a signal may come just before; after a stop only what goes at once.
      const bool ready = poll(&out, 1, stop_.requested() ? 0 : kPatienceMs) > 0;
      if (!ready && stop_.requested()) return;
      if (ready) WriteSome(bytes);
    }
  }

  // OK unless the guest's output could not be written.
  absl::Status Result() const {
    const MutexLock lock(mutex_);
    if (error_ == 0 || error_ == EPIPE) return absl::OkStatus();
    return absl::InternalError(
        absl::StrFormat("cannot write the guest's output: %s", strerrordesc_np(error_)));
  }

 private:
  static constexpr int kPatienceMs = 100;

  void WriteSome(std::span<const std::byte>& bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const size_t count = std::min<size_t>(bytes.size(), PIPE_BUF);
    const ssize_t written = write(STDOUT_FILENO, bytes.data(), count);
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      error_ = errno;
      // A reader that went away ends the run as it ends any filter.
      stop_.Stop(error_ == EPIPE ? SIGPIPE : 0);
    }
  }

  StopRequest& stop_;
  mutable Mutex mutex_;
  int error_ ABSL_GUARDED_BY(mutex_) = 0;
};

void PrintOutcome(const RunOutcome& outcome) {
  if (!outcome.report.empty()) {
    const int status = ExitStatusOf(outcome);
    const char* const who = status == kExitGuestDied   ? "the guest died"
                            : status == kExitHostLacks ? "the host failed the guest"
                                                       : "the monitor failed";
    PrintError(absl::StrFormat("%s: %s", who, ToString(outcome.kind)));
    std::fputs(outcome.report.c_str(), stderr);
  }
  if (outcome.kind == RunOutcome::Kind::kExited &&
      outcome.code > static_cast<uint32_t>(kMaxGuestCode)) {
    PrintError(absl::StrFormat("the guest's code %d is above %d and is given as %d", outcome.code,
                               kMaxGuestCode, kMaxGuestCode));
  }
}

struct Launch {
  // Of what kept the guest from running, or us from writing its output.
  absl::Status error;
  RunOutcome outcome = {};
};

Launch LaunchAndRun(const RunOptions& options, Timeline& timeline, StopRequest& stop) {
  absl::StatusOr<GuestImage> image = LoadGuestImage(options.image_path, options.image);
  if (!image.ok()) return {.error = image.status()};
  absl::StatusOr<HostLimits> limits = ReadHostLimits();
  if (!limits.ok()) return {.error = limits.status()};

  HostMemoryLinux host_memory;
  KvmApiLinux kvm;
  GuestOutput output(stop);
  ProgressBar bar("wiring");
  const MachineHooks hooks = {
      .serial = [&output](std::span<const std::byte> bytes) { output.Write(bytes); },
      .progress = [&](uint64_t done,
                      uint64_t total) { return bar.Update(done, total) && !stop.requested(); },
      .devices = {.console = [&output](std::span<const std::byte> bytes) { output.Write(bytes); },
                  .console_input = options.machine.devices.console ? STDIN_FILENO : -1,
                  .log = [](const std::string& line) { PrintError(line); }}};
  absl::StatusOr<std::unique_ptr<Machine>> machine = Machine::Create(
      options.machine, *image, {host_memory, kvm, *std::move(limits)}, hooks, timeline);
  bar.Finish();
  if (!machine.ok()) return {.error = machine.status()};
  image = absl::UnknownError("loaded");  // The guest has it now; the copy of the file can go.
  std::optional<PinProof> proof;
  if (options.verify) {
    proof = (*machine)->VerifyPins();
    std::fputs(proof->ToString().c_str(), stderr);
    if (const absl::Status held = proof->status(); !held.ok()) return {.error = held};
  }
  absl::StatusOr<std::unique_ptr<WindowWatch>> window = std::unique_ptr<WindowWatch>();
  if (options.machine.devices.console) {
    window = WindowWatch::Create(STDOUT_FILENO, [&machine](uint16_t cols, uint16_t rows) {
      (*machine)->ResizeConsole(cols, rows);
    });
    if (!window.ok()) return {.error = window.status()};
  }
  Launch launch{.error = absl::OkStatus(), .outcome = (*machine)->Run(stop)};
  launch.error = output.Result();
  PrintOutcome(launch.outcome);
  if (options.stats || options.json) {
    RunSummary summary = Summarize(options.machine, **machine, host_memory, timeline);
    summary.proof = std::move(proof);
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
  // Nor is a memory file that RLIMIT_FSIZE forbids.
  signal(SIGXFSZ, SIG_IGN);
  StopRequest stop;
  Launch launch;
  {
    const StopOnSignal stop_on_signal(stop);
    launch = LaunchAndRun(options, timeline, stop);
  }
  if (stop.requested() && stop.signal() > 0) {
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
