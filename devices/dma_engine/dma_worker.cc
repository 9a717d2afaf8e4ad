#include "devices/dma_engine/dma_worker.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

bool Overlaps(const GuestRange& range, GuestAddress address, uint64_t size) {
  return address < range.end() && range.start().value() < address.value() + size;
}

}  // namespace

absl::Status DmaWorker::Serve() {
  const absl::Status served = ServeUntilAborted();
  // Now, not at the reset: what is not served needs no memory.
  ring_.reset();
  if (!served.ok() || !revoked_.load(std::memory_order_relaxed)) return served;
  return absl::UnavailableError(
      absl::StrFormat("the memory of the DMA rings at 0x%x and 0x%x is wanted back",
                      config_.descriptors.value(), config_.completions.value()));
}

absl::Status DmaWorker::ServeUntilAborted() {
  while (!Aborted()) {
    // Before the look at the ring: a doorbell that comes during it makes for another look.
    doorbell_.Drain();
    VMWIRE_RETURN_IF_ERROR(ServeAvailable());
    if (!Aborted()) WaitReadable({doorbell_.fd(), stop_.fd()});
  }
  return absl::OkStatus();
}

absl::Status DmaWorker::ServeAvailable() {
  while (!Aborted()) {
    VMWIRE_ASSIGN_OR_RETURN(const std::optional<DmaDescriptor> descriptor, ring_->Pop());
    if (!descriptor.has_value()) break;
    const std::optional<DmaOutcome> outcome = ExecuteDma(port_, *descriptor, abort_);
    if (!outcome.has_value()) break;
    events_.Ended(*descriptor, *outcome);
    ring_->Push({.id = descriptor->id, .result = outcome->result, .status = outcome->status});
    events_.Completed(*descriptor, *outcome);
  }
  return absl::OkStatus();
}

void DmaWorker::Abort() {
  // Release: who sees the abort sees why.
  abort_.store(true, std::memory_order_release);
  stop_.Signal();
}

void DmaWorker::Revoke(const GuestRange& range) {
  if (!Overlaps(range, config_.descriptors, config_.descriptor_bytes()) &&
      !Overlaps(range, config_.completions, config_.completion_bytes())) {
    return;
  }
  revoked_.store(true, std::memory_order_relaxed);
  Abort();
}

}  // namespace vmwire
