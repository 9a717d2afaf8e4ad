// virtio-rng: fills the guest's buffers with random bytes of the host (OASIS virtio 1.2, 5.4).
//
//   chain --> writable buffers <-- 4 KiB at a time <-- RandomSource (getrandom(2))
//
// Invariants: a chain gets at most kMaxRequest bytes, whatever its length; the driver sees from the
// used length how many, and asks again.
// Thread safety: as VirtioDevice.
#ifndef VMWIRE_DEVICES_VIRTIO_RNG_VIRTIO_RNG_H_
#define VMWIRE_DEVICES_VIRTIO_RNG_VIRTIO_RNG_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_port.h"
#include "devices/virtio/virtio_device.h"

namespace vmwire {

// Fills `out` from its front and returns how many bytes; fewer than out.size(): there are no more.
using RandomSource = std::function<size_t(std::span<std::byte> out)>;

// The host's: getrandom(2), which never runs dry once the host has booted.
size_t HostRandom(std::span<std::byte> out);

class VirtioRng final : public VirtioDevice {
 public:
  static constexpr uint16_t kQueueSize = 64;
  static constexpr size_t kMaxRequest = 64 << 10;

  // REQUIRES: `port` outlives the device. `source` is called by the device's thread.
  explicit VirtioRng(DmaPort& port, RandomSource source = HostRandom)
      : port_(port), source_(std::move(source)) {}
  VirtioRng(const VirtioRng&) = delete;
  VirtioRng& operator=(const VirtioRng&) = delete;

  std::string Name() const override { return "virtio-rng"; }
  uint32_t DeviceId() const override { return 4; }
  uint64_t Features() const override { return 0; }
  std::vector<uint16_t> QueueSizes() const override { return {kQueueSize}; }

  // There is no configuration space (5.4.4).
  void ReadConfig(uint64_t offset, std::span<std::byte> data) const override;
  void WriteConfig(uint64_t offset, std::span<const std::byte> data) override;

  // InvalidArgument: the driver put a readable buffer into the queue (5.4.6.1). Unavailable: the
  // source gave nothing. Otherwise as Virtqueue::Pop and DmaPort::Map.
  absl::Status Serve(const VirtioSession& session) override;

  // "requests", "bytes".
  std::vector<DeviceCounter> Counters() const override;

 private:
  absl::StatusOr<uint32_t> Fill(const DescriptorChain& chain);

  DmaPort& port_;
  const RandomSource source_;
  std::atomic<uint64_t> requests_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_RNG_VIRTIO_RNG_H_
