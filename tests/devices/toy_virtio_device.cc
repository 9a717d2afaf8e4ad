#include "tests/devices/toy_virtio_device.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "memory/status_macros.h"

namespace vmwire {

void ToyVirtioDevice::CloseGate() {
  const MutexLock lock(mutex_);
  gate_closed_ = true;
}

void ToyVirtioDevice::OpenGate() {
  const MutexLock lock(mutex_);
  gate_closed_ = false;
  gate_opened_.NotifyAll();
}

void ToyVirtioDevice::WaitAtGate() {
  const MutexLock lock(mutex_);
  at_gate_.store(gate_closed_);
  while (gate_closed_) gate_opened_.Wait(mutex_, std::nullopt);
  at_gate_.store(false);
}

void ToyVirtioDevice::ReadConfig(uint64_t offset, std::span<std::byte> data) const {
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = offset + i < config_.size() ? config_[offset + i] : std::byte{0};
  }
}

void ToyVirtioDevice::WriteConfig(uint64_t offset, std::span<const std::byte> data) {
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < data.size(); ++i) {
    if (offset + i >= kReadOnlyBytes && offset + i < config_.size()) config_[offset + i] = data[i];
  }
}

absl::Status ToyVirtioDevice::Serve(const VirtioSession& session) {
  features_.store(session.features);
  enabled_queues_.store(static_cast<uint64_t>(
      session.queues.size() -
      static_cast<size_t>(std::count(session.queues.begin(), session.queues.end(), nullptr))));
  for (;;) {
    ++wakeups_;
    DrainEventFd(session.doorbell);
    for (Virtqueue* const queue : session.queues) {
      if (queue != nullptr) VMWIRE_RETURN_IF_ERROR(ServeQueue(*queue, *session.events));
    }
    if (IsReadable(session.stop)) return absl::OkStatus();
    WaitReadable({session.doorbell, session.stop});
  }
}

absl::Status ToyVirtioDevice::ServeQueue(Virtqueue& queue, VirtioEvents& events) {
  for (;;) {
    VMWIRE_ASSIGN_OR_RETURN(const std::optional<DescriptorChain> chain, queue.Pop());
    if (!chain.has_value()) {
      if (queue.EnableNotifications()) return absl::OkStatus();
      continue;
    }
    ++chains_;
    VMWIRE_ASSIGN_OR_RETURN(const uint32_t written, Echo(*chain));
    queue.Push(chain->head(), written);
    if (queue.NeedsInterrupt()) events.UsedBuffers();
  }
}

absl::StatusOr<uint32_t> ToyVirtioDevice::Echo(const DescriptorChain& chain) {
  std::vector<std::byte> bytes;
  for (const VirtqueueBuffer& buffer : chain.readable()) {
    VMWIRE_ASSIGN_OR_RETURN(const DmaMapping mapping,
                            port_.Map(buffer.address, buffer.length, DmaDirection::kToDevice));
    const size_t before = bytes.size();
    bytes.resize(before + buffer.length);
    mapping.CopyTo(0, std::span(bytes).subspan(before));
  }
  std::span<const std::byte> left = bytes;
  uint32_t written = 0;
  for (const VirtqueueBuffer& buffer : chain.writable()) {
    VMWIRE_ASSIGN_OR_RETURN(DmaMapping mapping,
                            port_.Map(buffer.address, buffer.length, DmaDirection::kFromDevice));
    mapping.BeginTransfer();
    WaitAtGate();
    const size_t count = std::min<size_t>(left.size(), buffer.length);
    mapping.CopyFrom(0, left.first(count));
    left = left.subspan(count);
    written += static_cast<uint32_t>(count);
    if (!abandon_next_.exchange(false)) mapping.EndTransfer();
  }
  return written;
}

}  // namespace vmwire
