#include "vmm/cli/run_command.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "memory/host_limits.h"
#include "memory/host_memory_linux.h"
#include "memory/pin_proof.h"
#include "memory/status_macros.h"
#include "vmm/cli/exit_status.h"
#include "vmm/cli/expect_watch.h"
#include "vmm/cli/guest_input.h"
#include "vmm/cli/guest_output.h"
#include "vmm/cli/memory_option.h"
#include "vmm/cli/messages.h"
#include "vmm/cli/progress_bar.h"
#include "vmm/cli/run_report.h"
#include "vmm/cli/stop_on_signal.h"
#include "vmm/cli/time_limit.h"
#include "vmm/cli/window_watch.h"
#include "vmm/kvm_api_linux.h"
#include "vmm/machine.h"
#include "vmm/run_summary.h"

namespace vmwire {
namespace {

// Fixes what only the image can tell.
MachineConfig ConfigFor(const RunOptions& options, const GuestImage& image) {
  MachineConfig config = options.machine;
  if (!options.has_memory_size) config.memory_bytes = DefaultMemoryFor(image);
  return config;
}

// One run, and what is told of it afterwards.
class Launch {
 public:
  Launch(const RunOptions& options, Timeline& timeline, StopRequest& stop)
      : options_(options), timeline_(timeline), stop_(stop), output_(stop, Watch()) {}
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  // An error of what kept the guest from running, or us from writing its output.
  absl::Status Run();

  // REQUIRES: Run has returned OK.
  const RunEnd& end() const { return end_; }

 private:
  using Clock = std::chrono::steady_clock;

  ExpectWatch* Watch();
  absl::Status Prepare();
  MachineHooks Hooks();
  absl::Status Verify();
  absl::Status RunGuest();
  void Report() const;
  std::chrono::milliseconds Elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_);
  }

  const RunOptions& options_;
  Timeline& timeline_;
  StopRequest& stop_;
  const Clock::time_point start_ = Clock::now();
  // When the text came. Written under the watch's mutex, read once nobody prints any more.
  std::chrono::milliseconds seen_after_{0};
  std::optional<ExpectWatch> watch_;
  GuestOutput output_;
  ProgressBar bar_{"wiring"};
  HostMemoryLinux host_memory_;
  KvmApiLinux kvm_;
  MachineConfig config_;
  std::unique_ptr<TimeLimit> time_limit_;
  std::unique_ptr<GuestInput> input_;
  std::unique_ptr<Machine> machine_;
  std::optional<PinProof> proof_;
  RunEnd end_;
};

ExpectWatch* Launch::Watch() {
  if (!options_.expect.has_value()) return nullptr;
  watch_.emplace(*options_.expect, [this] {
    seen_after_ = Elapsed();
    stop_.Stop(StopRequest::kExpected);
  });
  return &*watch_;
}

absl::Status Launch::Run() {
  if (options_.timeout.has_value()) {
    VMWIRE_ASSIGN_OR_RETURN(time_limit_, TimeLimit::Start(stop_, *options_.timeout));
  }
  VMWIRE_RETURN_IF_ERROR(Prepare());
  if (options_.verify) VMWIRE_RETURN_IF_ERROR(Verify());
  VMWIRE_RETURN_IF_ERROR(RunGuest());
  Report();
  return output_.Result();
}

absl::Status Launch::Prepare() {
  VMWIRE_ASSIGN_OR_RETURN(const GuestImage image,
                          LoadGuestImage(options_.image_path, options_.image));
  config_ = ConfigFor(options_, image);
  VMWIRE_ASSIGN_OR_RETURN(HostLimits limits, ReadHostLimits());
  VMWIRE_ASSIGN_OR_RETURN(input_,
                          GuestInput::Open(options_.interactive, config_.devices.console, stop_));
  absl::StatusOr<std::unique_ptr<Machine>> machine =
      Machine::Create(config_, image, {host_memory_, kvm_, std::move(limits)}, Hooks(), timeline_);
  bar_.Finish();
  if (!machine.ok()) return machine.status();
  machine_ = *std::move(machine);
  return absl::OkStatus();
}

MachineHooks Launch::Hooks() {
  const auto sink = [this](GuestStream stream) {
    return [this, stream](std::span<const std::byte> bytes) { output_.Write(stream, bytes); };
  };
  return {
      .serial = sink(GuestStream::kSerial),
      .serial_input = input_->serial_input(),
      .completed = options_.trace_emulation
                       ? [](const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }
                       : InstructionCompleter::Trace(),
      .progress = [this](uint64_t done,
                         uint64_t total) { return bar_.Update(done, total) && !stop_.requested(); },
      .devices = {.console = sink(GuestStream::kConsole),
                  .console_input = input_->console_input(),
                  .log = [](const std::string& line) { PrintError(line); }}};
}

absl::Status Launch::Verify() {
  proof_ = machine_->VerifyPins();
  std::fputs(proof_->ToString().c_str(), stderr);
  return proof_->status();
}

absl::Status Launch::RunGuest() {
  std::unique_ptr<WindowWatch> window;
  if (config_.devices.console) {
    VMWIRE_ASSIGN_OR_RETURN(
        window, WindowWatch::Create(STDOUT_FILENO, [this](uint16_t cols, uint16_t rows) {
          machine_->ResizeConsole(cols, rows);
        }));
  }
  VMWIRE_RETURN_IF_ERROR(input_->TakeTerminal());
  end_.outcome = machine_->Run(stop_);
  input_->GiveTerminalBack();
  end_.stop_reason = stop_.requested() ? stop_.reason() : StopRequest::kGuestEnded;
  end_.elapsed = Elapsed();
  if (!watch_.has_value()) return absl::OkStatus();
  if (end_.outcome.kind != RunOutcome::Kind::kInterrupted) watch_->End();
  end_.expectation = watch_->seen() ? Expectation::kSeen : Expectation::kMissing;
  if (watch_->seen()) end_.elapsed = seen_after_;
  return absl::OkStatus();
}

void Launch::Report() const {
  std::fputs(DescribeEnd(end_).c_str(), stderr);
  std::fputs(DescribeCompleted(machine_->run_stats().completed).c_str(), stderr);
  if (options_.trace_io) {
    std::fputs(AbsentTable(machine_->absent_ports(), machine_->absent_mmio()).c_str(), stderr);
  }
  if (!options_.stats && !options_.json) return;
  RunSummary summary = Summarize(config_, *machine_, host_memory_, timeline_);
  summary.proof = proof_;
  if (options_.stats) std::fputs(SummaryTable(summary).c_str(), stderr);
  if (options_.json) std::fputs(SummaryJson(summary).c_str(), stderr);
}

// Everything is given back; now the process ends as it would have without us.
void DieOf(int signal_number) {
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

}  // namespace

int RunCommand(const RunOptions& options, Timeline& timeline) {
  // A reader of the guest's output that goes away is an error of write, not the end of this
  // process.
  signal(SIGPIPE, SIG_IGN);
  // Nor is a memory file that RLIMIT_FSIZE forbids.
  signal(SIGXFSZ, SIG_IGN);
  StopRequest stop;
  absl::Status error;
  RunEnd end;
  {
    const StopOnSignal stop_on_signal(stop);
    Launch launch(options, timeline, stop);
    error = launch.Run();
    end = launch.end();
  }
  if (stop.requested() && stop.reason() > 0) DieOf(stop.reason());
  if (absl::IsCancelled(error) && stop.requested() && stop.reason() == StopRequest::kTimeLimit) {
    PrintError("the time limit is over before the guest could run");
    return kExitTimeLimit;
  }
  if (!error.ok()) {
    PrintError(error);
    return ExitStatusOf(error);
  }
  return ExitStatusOf(end.outcome, end.expectation, end.stop_reason);
}

}  // namespace vmwire
