#include "devices/virtio/console/virtio_console.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "devices/virtio/chain_cursor.h"
#include "devices/virtio/config_space.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

constexpr size_t kChunk = 4096;

// 5.3.4; little-endian, as is the host.
struct Config {
  uint16_t cols;
  uint16_t rows;
  uint32_t max_ports;
  uint32_t emergency_write;
};
static_assert(sizeof(Config) == 12);

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioConsole>> VirtioConsole::Create(DmaPort& port,
                                                                     ConsoleSink sink, int input) {
  VMWIRE_ASSIGN_OR_RETURN(EventFd resized, EventFd::Create());
  return std::unique_ptr<VirtioConsole>(
      new VirtioConsole(port, std::move(sink), input, std::move(resized)));
}

void VirtioConsole::ReadConfig(uint64_t offset, std::span<std::byte> data) const {
  const uint32_t size = size_.load(std::memory_order_relaxed);
  const Config config = {.cols = static_cast<uint16_t>(size),
                         .rows = static_cast<uint16_t>(size >> 16),
                         .max_ports = 0,
                         .emergency_write = 0};
  ReadConfigSpace(config, offset, data);
}

void VirtioConsole::WriteConfig(uint64_t offset, std::span<const std::byte> data) {
  if (offset != offsetof(Config, emergency_write) || data.empty()) return;
  {
    MutexLock lock(sink_mutex_);
    sink_(data.first(1));
  }
  emergency_.fetch_add(1, std::memory_order_relaxed);
}

void VirtioConsole::Resize(uint16_t cols, uint16_t rows) {
  size_.store(uint32_t{rows} << 16 | cols, std::memory_order_relaxed);
  resized_.Signal();
}

absl::Status VirtioConsole::Serve(const VirtioSession& session) {
  const StopSign stop(session);
  Receiver receiver;
  return RunQueueLoop(session, resized_.fd(), [&] { return Pass(session, stop, receiver); });
}

absl::StatusOr<QueuePass> VirtioConsole::Pass(const VirtioSession& session, const StopSign& stop,
                                              Receiver& receiver) {
  if (resized_.Drain()) session.events->ConfigChanged();
  VMWIRE_ASSIGN_OR_RETURN(
      const bool more,
      ServeChains(QueueOf(session, kTransmitQueue), *session.events,
                  [&](const DescriptorChain& chain) { return Transmit(chain, stop); }));
  VMWIRE_ASSIGN_OR_RETURN(QueuePass found,
                          Receive(QueueOf(session, kReceiveQueue), *session.events, receiver));
  found.more = found.more || more;
  return found;
}

absl::StatusOr<uint32_t> VirtioConsole::Transmit(const DescriptorChain& chain,
                                                 const StopSign& stop) {
  VMWIRE_RETURN_IF_ERROR(CheckOnlyReadable(chain, "transmitq"));
  ChainCursor cursor(port_, chain.readable());
  std::array<std::byte, kChunk> chunk;
  for (;;) {
    VMWIRE_ASSIGN_OR_RETURN(const size_t bytes, cursor.Read(chunk));
    if (bytes != 0) {
      MutexLock lock(sink_mutex_);
      sink_(std::span<const std::byte>(chunk).first(bytes));
    }
    sent_.fetch_add(bytes, std::memory_order_relaxed);
    if (bytes < kChunk || stop.Pending()) return 0;
  }
}

absl::StatusOr<QueuePass> VirtioConsole::Receive(Virtqueue* queue, VirtioEvents& events,
                                                 Receiver& receiver) {
  if (queue == nullptr) return QueuePass();
  for (uint16_t attempt = 0; attempt < queue->size(); ++attempt) {
    if (input_ < 0 || input_ended_) return QueuePass();
    if (!IsReadable(input_)) return QueuePass{.wait_fd = input_};
    if (!receiver.waiting.has_value()) {
      VMWIRE_ASSIGN_OR_RETURN(receiver.waiting, queue->Pop());
    }
    if (!receiver.waiting.has_value()) {
      // No buffer: the input is left where it is until the driver says that there is one.
      if (queue->EnableNotifications()) return QueuePass();
      continue;
    }
    VMWIRE_ASSIGN_OR_RETURN(const uint32_t bytes, FillFromInput(*receiver.waiting));
    if (bytes == 0 && receiver.waiting->writable_bytes() != 0) continue;
    queue->Push(receiver.waiting->head(), bytes);
    receiver.waiting.reset();
    if (queue->NeedsInterrupt()) events.UsedBuffers();
  }
  return QueuePass{.more = true};
}

absl::StatusOr<uint32_t> VirtioConsole::FillFromInput(const DescriptorChain& chain) {
  VMWIRE_RETURN_IF_ERROR(CheckOnlyWritable(chain, "receiveq"));
  std::array<std::byte, kChunk> chunk;
  const auto room = static_cast<size_t>(std::min<uint64_t>(chain.writable_bytes(), kChunk));
  if (room == 0) return 0;
  const ssize_t got = read(input_, chunk.data(), room);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got <= 0) {
    input_ended_ = true;
    return 0;
  }
  const auto bytes = static_cast<size_t>(got);
  ChainCursor cursor(port_, chain.writable());
  VMWIRE_RETURN_IF_ERROR(cursor.Write(std::span<const std::byte>(chunk).first(bytes)).status());
  received_.fetch_add(bytes, std::memory_order_relaxed);
  return static_cast<uint32_t>(bytes);
}

std::vector<DeviceCounter> VirtioConsole::Counters() const {
  return {{"sent_bytes", sent_.load(std::memory_order_relaxed)},
          {"received_bytes", received_.load(std::memory_order_relaxed)},
          {"emergency_bytes", emergency_.load(std::memory_order_relaxed)}};
}

}  // namespace vmwire
