// A virtio device for tests of what is around it: it copies the readable buffers of each chain to
// the writable ones, and can be told to fail, to be slow and to leave a mess.
//
// Invariants: as VirtioDevice.
// Thread safety: as VirtioDevice; what a test sets, at any time.
#ifndef VMWIRE_TESTS_DEVICES_TOY_VIRTIO_DEVICE_H_
#define VMWIRE_TESTS_DEVICES_TOY_VIRTIO_DEVICE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "devices/dma_port.h"
#include "devices/event_fd.h"
#include "devices/virtio/virtio_device.h"
#include "memory/mutex.h"

namespace vmwire {

class ToyVirtioDevice final : public VirtioDevice {
 public:
  static constexpr uint32_t kDeviceId = 42;
  static constexpr uint64_t kFeature = 1u << 3;
  static constexpr uint16_t kQueueSize0 = 8;
  static constexpr uint16_t kQueueSize1 = 4;
  static constexpr size_t kConfigBytes = 16;
  // The first half of the configuration is for the driver to read only.
  static constexpr size_t kReadOnlyBytes = 8;

  explicit ToyVirtioDevice(DmaPort& port) : port_(port), config_() {}

  // Serve neither begins a chain nor returns before the gate is open again, whatever the driver
  // does; it holds the mapping of its chain meanwhile, as if a transfer ran.
  void CloseGate();
  void OpenGate();
  // Serve waits at the gate with a mapping.
  bool AtGate() const { return at_gate_.load(); }
  // Serve does not end the transfer of its next chain: the mapping dies in flight.
  void AbandonNext() { abandon_next_.store(true); }

  uint64_t wakeups() const { return wakeups_.load(); }
  uint64_t chains() const { return chains_.load(); }
  uint64_t features() const { return features_.load(); }
  uint64_t enabled_queues() const { return enabled_queues_.load(); }

  std::string Name() const override { return "toy"; }
  uint32_t DeviceId() const override { return kDeviceId; }
  uint64_t Features() const override { return kFeature; }
  std::vector<uint16_t> QueueSizes() const override { return {kQueueSize0, kQueueSize1}; }
  void ReadConfig(uint64_t offset, std::span<std::byte> data) const override;
  void WriteConfig(uint64_t offset, std::span<const std::byte> data) override;
  absl::Status Serve(const VirtioSession& session) override;
  std::vector<DeviceCounter> Counters() const override { return {{"chains", chains()}}; }

 private:
  absl::Status ServeQueue(Virtqueue& queue, VirtioEvents& events);
  absl::StatusOr<uint32_t> Echo(const DescriptorChain& chain);
  void WaitAtGate();

  DmaPort& port_;
  mutable Mutex mutex_;
  std::array<std::byte, kConfigBytes> config_ ABSL_GUARDED_BY(mutex_);
  Condition gate_opened_;
  bool gate_closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> at_gate_ = false;
  std::atomic<bool> abandon_next_ = false;
  std::atomic<uint64_t> wakeups_ = 0;
  std::atomic<uint64_t> chains_ = 0;
  std::atomic<uint64_t> features_ = 0;
  std::atomic<uint64_t> enabled_queues_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_TOY_VIRTIO_DEVICE_H_
