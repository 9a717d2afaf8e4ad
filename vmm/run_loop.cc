#include "vmm/run_loop.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "absl/strings/str_format.h"
#include "vmm/exit_report.h"

namespace vmwire {

std::string ToString(RunOutcome::Kind kind) {
  switch (kind) {
    case RunOutcome::Kind::kExited:
      return "exited";
    case RunOutcome::Kind::kPoweredOff:
      return "powered off";
    case RunOutcome::Kind::kReset:
      return "reset";
    case RunOutcome::Kind::kHalted:
      return "halted";
    case RunOutcome::Kind::kGuestException:
      return "guest exception";
    case RunOutcome::Kind::kShutdown:
      return "triple fault";
    case RunOutcome::Kind::kInternalError:
      return "KVM internal error";
    case RunOutcome::Kind::kEntryFailed:
      return "entry failed";
    case RunOutcome::Kind::kMemoryFault:
      return "memory fault";
    case RunOutcome::Kind::kUnhandledExit:
      return "unhandled exit";
    case RunOutcome::Kind::kInterrupted:
      return "interrupted";
    case RunOutcome::Kind::kRunFailed:
      return "KVM_RUN failed";
  }
  return "unknown";
}

void RunStats::Add(const RunStats& other) {
  exits.Add(other.exits);
  interruptions += other.interruptions;
  if (other.first_exit.has_value()) {
    first_exit = std::min(first_exit.value_or(*other.first_exit), *other.first_exit);
  }
  for (const auto& [mnemonic, count] : other.completed) completed[mnemonic] += count;
}

RunLoop::RunLoop(const Machine& machine, StopRequest& stop) : machine_(machine), stop_(stop) {
  if (machine.complete_emulation)
    completer_.emplace(machine.vcpu, machine.memory, machine.completed);
}

RunOutcome RunLoop::Run() {
  RunOutcome outcome = RunToOutcome();
  outcome.cpu = machine_.vcpu.id();
  return outcome;
}

RunStats RunLoop::stats() const {
  RunStats stats = stats_;
  if (completer_.has_value()) stats.completed = completer_->counts();
  return stats;
}

RunOutcome RunLoop::RunToOutcome() {
  const StopRequest::Target target(stop_, machine_.vcpu.run());
  while (true) {
    if (stop_.requested()) {
      return {RunOutcome::Kind::kInterrupted, static_cast<uint32_t>(std::max(stop_.reason(), 0))};
    }
    const absl::StatusOr<RunResult> result = machine_.vcpu.Run();
    if (!result.ok()) return OutcomeOfError(result.status());
    if (*result == RunResult::kInterrupted) {
      ++stats_.interruptions;
      StopRequest::Rearm(machine_.vcpu.run());
      if (machine_.on_interruption) machine_.on_interruption();
      continue;
    }
    if (!stats_.first_exit.has_value()) stats_.first_exit = std::chrono::steady_clock::now();
    stats_.exits.Add(machine_.vcpu.run().exit_reason);
    if (std::optional<RunOutcome> outcome = HandleExit()) return *std::move(outcome);
  }
}

std::optional<RunOutcome> RunLoop::HandleExit() {
  const uint32_t reason = machine_.vcpu.run().exit_reason;
  if (reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO) {
    std::optional<RunOutcome> outcome = reason == KVM_EXIT_IO ? HandlePortIo() : HandleMmio();
    Record();  // Now that a read has its value.
    return outcome;
  }
  Record();
  switch (reason) {
    case KVM_EXIT_INTR:     // As EINTR: a signal came, and the loop looks for a stop request.
    case KVM_EXIT_SET_TPR:  // The guest unmasked interrupts; KVM itself gives them.
      return std::nullopt;
    case KVM_EXIT_HLT:
      return RunOutcome{RunOutcome::Kind::kHalted};
    case KVM_EXIT_SHUTDOWN:
      return Dead(RunOutcome::Kind::kShutdown);
    case KVM_EXIT_INTERNAL_ERROR:
      return HandleInternalError();
    case KVM_EXIT_FAIL_ENTRY:
      return Dead(RunOutcome::Kind::kEntryFailed);
    case KVM_EXIT_MEMORY_FAULT:
      return Dead(RunOutcome::Kind::kMemoryFault);
    default:
      return Dead(RunOutcome::Kind::kUnhandledExit);
  }
}

std::optional<RunOutcome> RunLoop::HandlePortIo() {
  const auto& io = machine_.vcpu.run().io;
  const std::span<std::byte> page = machine_.vcpu.run_bytes();
  const uint64_t bytes = uint64_t{io.size} * io.count;
  if (io.data_offset > page.size() || bytes > page.size() - io.data_offset) {
    return RunOutcome{
        RunOutcome::Kind::kRunFailed, 0,
        absl::StrFormat("%sKVM put the 0x%x bytes of a port access at 0x%x, past the end of "
                        "kvm_run (0x%x bytes)\n",
                        CpuPrefix(machine_.cpu), bytes, io.data_offset, page.size())};
  }
  // A string instruction (INS, OUTS) is `count` accesses to one port.
  for (uint32_t i = 0; i < io.count; ++i) {
    const std::span<std::byte> data = page.subspan(io.data_offset + uint64_t{i} * io.size, io.size);
    if (io.direction == KVM_EXIT_IO_OUT) {
      machine_.ports.Write(io.port, data);
    } else {
      machine_.ports.Read(io.port, data);
    }
  }
  return OutcomeOfRequest();
}

std::optional<RunOutcome> RunLoop::HandleMmio() {
  auto& mmio = machine_.vcpu.run().mmio;
  const std::span<std::byte> all = std::as_writable_bytes(std::span(mmio.data));
  if (mmio.len > all.size()) {
    return RunOutcome{
        RunOutcome::Kind::kRunFailed, 0,
        absl::StrFormat("%sKVM gave an MMIO access of %d bytes at 0x%x; the most is %d\n",
                        CpuPrefix(machine_.cpu), mmio.len, mmio.phys_addr, all.size())};
  }
  const std::span<std::byte> data = all.first(mmio.len);
  if (mmio.is_write != 0) {
    machine_.mmio.Write(mmio.phys_addr, data);
  } else {
    machine_.mmio.Read(mmio.phys_addr, data);
  }
  return OutcomeOfRequest();
}

void RunLoop::Record() { history_.Add(machine_.vcpu.run(), machine_.vcpu.run_bytes()); }

std::optional<RunOutcome> RunLoop::HandleInternalError() {
  if (!completer_.has_value()) return Dead(RunOutcome::Kind::kInternalError);
  if (completer_->TryComplete()) return std::nullopt;
  return Dead(RunOutcome::Kind::kInternalError, std::string(completer_->refusal().message()));
}

std::optional<RunOutcome> RunLoop::OutcomeOfRequest() const {
  const std::optional<ExitRequest> request = machine_.exit_latch.request();
  if (!request.has_value()) return std::nullopt;
  switch (request->kind) {
    case ExitRequest::Kind::kExit:
      return RunOutcome{RunOutcome::Kind::kExited, request->code};
    case ExitRequest::Kind::kPowerOff:
      return RunOutcome{RunOutcome::Kind::kPoweredOff};
    case ExitRequest::Kind::kReset:
      return RunOutcome{RunOutcome::Kind::kReset};
    case ExitRequest::Kind::kException:
      break;
  }
  // The frame of the exception is on the stack of the CPU that reported it.
  if (!machine_.exit_latch.is_of_this_thread()) return std::nullopt;
  return RunOutcome{RunOutcome::Kind::kGuestException, request->code,
                    absl::StrFormat("%sthe guest does not handle its exception %d\n",
                                    CpuPrefix(machine_.cpu), request->code)};
}

RunOutcome RunLoop::OutcomeOfError(const absl::Status& status) const {
  // FailedPrecondition is EFAULT (KvmApi::Run).
  const bool memory = status.code() == absl::StatusCode::kFailedPrecondition;
  std::string report = CpuPrefix(machine_.cpu);
  if (memory) report += "the host could not give guest memory: ";
  report += std::string(status.message()) + "\n";
  // Set beside EFAULT by kernels that can tell which memory it was.
  if (memory && machine_.vcpu.run().exit_reason == KVM_EXIT_MEMORY_FAULT) {
    report += DescribeReason(machine_.vcpu.run()) + "\n";
  }
  if (memory) report += DescribeState(machine_.vcpu, machine_.memory) + history_.ToString();
  return {memory ? RunOutcome::Kind::kMemoryFault : RunOutcome::Kind::kRunFailed, 0,
          std::move(report)};
}

RunOutcome RunLoop::Dead(RunOutcome::Kind kind, const std::optional<std::string>& refusal) const {
  return {kind, 0, DescribeDeath(machine_.vcpu, machine_.memory, history_, machine_.cpu, refusal)};
}

std::string RunLoop::Describe() const {
  return DescribeStopped(machine_.vcpu, machine_.memory, history_, machine_.cpu);
}

}  // namespace vmwire
