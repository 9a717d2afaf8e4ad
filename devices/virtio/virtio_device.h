// What a virtio device is to its transport: numbers, a configuration space, and a function that
// serves its queues on a thread of its own.
//
// Invariants: Serve runs between DRIVER_OK and the next reset, at most once at a time. When it has
// returned, the device does no transfer and holds no mapping.
// Thread safety: Serve runs on the device's thread; the rest on that of a vCPU, also while Serve
// runs. A device guards what both use.
#ifndef VMWIRE_DEVICES_VIRTIO_VIRTIO_DEVICE_H_
#define VMWIRE_DEVICES_VIRTIO_VIRTIO_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "devices/virtio/virtqueue.h"

namespace vmwire {

// Feature bits of every device (virtio 1.2, 6).
inline constexpr uint64_t kVirtioFeatureEventIndex = uint64_t{1} << 29;
inline constexpr uint64_t kVirtioFeatureVersion1 = uint64_t{1} << 32;

// How a device tells its driver of something. Thread-safe.
class VirtioEvents {
 public:
  virtual ~VirtioEvents() = default;
  // Buffers were used: an interrupt.
  virtual void UsedBuffers() = 0;
  // The configuration space changed: a new generation, and an interrupt.
  virtual void ConfigChanged() = 0;
};

// What Serve works with.
struct VirtioSession {
  // By number; null: a queue that the driver did not enable.
  std::vector<Virtqueue*> queues;
  uint64_t features = 0;  // Those that were negotiated.
  // eventfds, not blocking. Of `doorbell` becoming readable: the driver notified some queue. Of
  // `stop`: the device is to come to rest; it is never read, so that it stays readable.
  int doorbell = -1;
  int stop = -1;
  VirtioEvents* events = nullptr;
};

// A count of a device for the summary of a run, as {"requests", 17}.
using DeviceCounter = std::pair<std::string, uint64_t>;

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  // For messages, for example "virtio-blk disk.img".
  virtual std::string Name() const = 0;
  // Virtio 1.2, 5.
  virtual uint32_t DeviceId() const = 0;
  // Without kVirtioFeatureVersion1 and kVirtioFeatureEventIndex, which the transport offers.
  virtual uint64_t Features() const = 0;
  // The largest size of each queue; a power of two, at most kMaxQueueSize.
  virtual std::vector<uint16_t> QueueSizes() const = 0;

  // Fills `data` from `offset` of the configuration space; what lies past it reads 0.
  virtual void ReadConfig(uint64_t offset, std::span<std::byte> data) const = 0;
  // What is not writable is dropped.
  virtual void WriteConfig(uint64_t offset, std::span<const std::byte> data) = 0;

  // Serves the queues until session.stop is readable: looks at them at once, then at each doorbell.
  // If `stop` is readable from the start, it serves what is available and returns. Before it
  // returns, transfers have ended and their mappings are gone. OK: it was stopped. Any error: the
  // driver broke a rule, or the device cannot go on: it needs a reset.
  virtual absl::Status Serve(const VirtioSession& session) = 0;

  virtual std::vector<DeviceCounter> Counters() const = 0;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_VIRTIO_DEVICE_H_
