#include "devices/virtio/queue_loop.h"

#include <optional>

#include "absl/strings/str_format.h"
#include "devices/event_fd.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// False: there was no chain.
absl::StatusOr<bool> ServeChain(Virtqueue& queue, ChainHandler handle) {
  VMWIRE_ASSIGN_OR_RETURN(const std::optional<DescriptorChain> chain, queue.Pop());
  if (!chain.has_value()) return false;
  VMWIRE_ASSIGN_OR_RETURN(const uint32_t written, handle(*chain));
  queue.Push(chain->head(), written);
  return true;
}

}  // namespace

absl::Status RunQueueLoop(const VirtioSession& session, int wake_fd,
                          absl::FunctionRef<absl::StatusOr<QueuePass>()> pass) {
  for (;;) {
    // Before the pass: what is made available during it rings again.
    DrainEventFd(session.doorbell);
    VMWIRE_ASSIGN_OR_RETURN(const QueuePass found, pass());
    if (IsReadable(session.stop)) return absl::OkStatus();
    if (!found.more) WaitReadable({session.doorbell, session.stop, wake_fd, found.wait_fd});
  }
}

absl::StatusOr<bool> ServeChains(Virtqueue* queue, VirtioEvents& events, ChainHandler handle) {
  if (queue == nullptr) return false;
  queue->DisableNotifications();
  bool used = false;
  bool empty = false;
  absl::Status error;
  // Attempts are counted, not chains: a driver that moves its index to and fro gets no more.
  for (uint16_t attempt = 0; attempt < queue->size() && !empty && error.ok(); ++attempt) {
    const absl::StatusOr<bool> served = ServeChain(*queue, handle);
    if (!served.ok()) {
      error = served.status();
    } else if (*served) {
      used = true;
    } else {
      empty = queue->EnableNotifications();
    }
  }
  if (used && queue->NeedsInterrupt()) events.UsedBuffers();
  VMWIRE_RETURN_IF_ERROR(error);
  return !empty;
}

Virtqueue* QueueOf(const VirtioSession& session, size_t number) {
  return number < session.queues.size() ? session.queues[number] : nullptr;
}

absl::Status CheckOnlyReadable(const DescriptorChain& chain, const char* what) {
  if (chain.writable().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("chain %d of the %s has a writable buffer at 0x%x: the device only reads "
                      "this queue",
                      chain.head(), what, chain.writable().front().address.value()));
}

absl::Status CheckOnlyWritable(const DescriptorChain& chain, const char* what) {
  if (chain.readable().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("chain %d of the %s has a readable buffer at 0x%x: the device only writes "
                      "this queue",
                      chain.head(), what, chain.readable().front().address.value()));
}

StopSign::StopSign(const VirtioSession& session)
    : fd_(IsReadable(session.stop) ? -1 : session.stop) {}

bool StopSign::Pending() const { return fd_ >= 0 && IsReadable(fd_); }

}  // namespace vmwire
