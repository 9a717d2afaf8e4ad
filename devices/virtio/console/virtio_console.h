// virtio-console with one port: text from the guest to a sink of the host, input of the host to the
// guest, and the size of the window (OASIS virtio 1.2, 5.3).
//
//   transmitq --> 4 KiB at a time --> ConsoleSink        emerg_wr --> ConsoleSink, byte by byte
//   receiveq  <-- read(2), at most 4 KiB <-- input descriptor
//
// Invariants: input is read only once a receive buffer is there for it, so that what the guest does
// not take stays with the host's kernel; no byte of it is held here. After the end of input its
// descriptor is not looked at again.
// Lock order: sink_mutex_ is a leaf, but the sink is called under it.
// Thread safety: as VirtioDevice; Resize from any thread.
#ifndef VMWIRE_DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H_
#define VMWIRE_DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_port.h"
#include "devices/event_fd.h"
#include "devices/virtio/queue_loop.h"
#include "devices/virtio/virtio_device.h"
#include "memory/mutex.h"

namespace vmwire {

// Where the guest's text goes. The bytes are a copy and valid during the call only. Called by one
// thread at a time; it may block, and a reset of the device waits for it.
using ConsoleSink = std::function<void(std::span<const std::byte>)>;

class VirtioConsole final : public VirtioDevice {
 public:
  static constexpr uint16_t kQueueSize = 64;
  // 5.3.3.
  static constexpr uint64_t kFeatureSize = uint64_t{1} << 0;
  static constexpr uint64_t kFeatureEmergencyWrite = uint64_t{1} << 2;
  // 5.3.2.
  static constexpr size_t kReceiveQueue = 0;
  static constexpr size_t kTransmitQueue = 1;

  // `input` is read for the guest; -1: there is no input. ResourceExhausted: no descriptor for the
  // wake-up. REQUIRES: `port` outlives the device; `input` stays open as long, and nobody else
  // reads from it.
  static absl::StatusOr<std::unique_ptr<VirtioConsole>> Create(DmaPort& port, ConsoleSink sink,
                                                               int input);
  VirtioConsole(const VirtioConsole&) = delete;
  VirtioConsole& operator=(const VirtioConsole&) = delete;

  std::string Name() const override { return "virtio-console"; }
  uint32_t DeviceId() const override { return 3; }
  uint64_t Features() const override { return kFeatureSize | kFeatureEmergencyWrite; }
  std::vector<uint16_t> QueueSizes() const override { return {kQueueSize, kQueueSize}; }

  // u16 cols, u16 rows, u32 max_nr_ports (0: of another feature), u32 emerg_wr (reads 0).
  void ReadConfig(uint64_t offset, std::span<std::byte> data) const override;
  // A write at emerg_wr, of any size, sends its low byte, at any time and before any set-up
  // (5.3.4). All else is read-only.
  void WriteConfig(uint64_t offset, std::span<const std::byte> data) override
      ABSL_LOCKS_EXCLUDED(sink_mutex_);

  // The window has a new size, in characters. The driver is told while Serve runs, or when it next
  // does.
  void Resize(uint16_t cols, uint16_t rows);

  // InvalidArgument: a writable buffer in the transmitq, or a readable one in the receiveq
  // (5.3.6.1). Otherwise as Virtqueue::Pop and DmaPort::Map. A request that is long and still being
  // sent when the device is stopped is cut off.
  absl::Status Serve(const VirtioSession& session) override;

  // "sent_bytes", "received_bytes", "emergency_bytes".
  std::vector<DeviceCounter> Counters() const override;

 private:
  // Of one session.
  struct Receiver {
    // A buffer that was taken for input which then was not there. It goes first.
    std::optional<DescriptorChain> waiting;
  };

  VirtioConsole(DmaPort& port, ConsoleSink sink, int input, EventFd resized)
      : port_(port), sink_(std::move(sink)), input_(input), resized_(std::move(resized)) {}

  absl::StatusOr<QueuePass> Pass(const VirtioSession& session, const StopSign& stop,
                                 Receiver& receiver);
  absl::StatusOr<uint32_t> Transmit(const DescriptorChain& chain, const StopSign& stop)
      ABSL_LOCKS_EXCLUDED(sink_mutex_);
  absl::StatusOr<QueuePass> Receive(Virtqueue* queue, VirtioEvents& events, Receiver& receiver);
  // How many bytes; 0: no input now, or none ever again.
  absl::StatusOr<uint32_t> FillFromInput(const DescriptorChain& chain);

  DmaPort& port_;
  Mutex sink_mutex_;
  const ConsoleSink sink_ ABSL_GUARDED_BY(sink_mutex_);
  const int input_;
  const EventFd resized_;
  bool input_ended_ = false;        // Of the device's thread.
  std::atomic<uint32_t> size_ = 0;  // cols, and rows << 16: both change at once.
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<uint64_t> received_ = 0;
  std::atomic<uint64_t> emergency_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H_
