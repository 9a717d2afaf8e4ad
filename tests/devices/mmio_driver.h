// What a driver does to a virtio-mmio transport: the registers, and the start-up of virtio 1.2,
// 3.1.1 and 4.2.3.
//
// Invariants: none of its own; every register can be given any value.
// Thread safety: as the transport.
#ifndef VMWIRE_TESTS_DEVICES_MMIO_DRIVER_H_
#define VMWIRE_TESTS_DEVICES_MMIO_DRIVER_H_

#include <cstdint>

#include "devices/device.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtqueue.h"

namespace vmwire {

class MmioDriver {
 public:
  enum Register : uint64_t {
    kMagicValue = 0x000,
    kVersion = 0x004,
    kDeviceId = 0x008,
    kVendorId = 0x00c,
    kDeviceFeatures = 0x010,
    kDeviceFeaturesSel = 0x014,
    kDriverFeatures = 0x020,
    kDriverFeaturesSel = 0x024,
    kQueueSel = 0x030,
    kQueueNumMax = 0x034,
    kQueueNum = 0x038,
    kQueueReady = 0x044,
    kQueueNotify = 0x050,
    kInterruptStatus = 0x060,
    kInterruptAck = 0x064,
    kStatus = 0x070,
    kQueueDescLow = 0x080,
    kQueueDescHigh = 0x084,
    kQueueDriverLow = 0x090,
    kQueueDriverHigh = 0x094,
    kQueueDeviceLow = 0x0a0,
    kQueueDeviceHigh = 0x0a4,
    kShmSel = 0x0ac,
    kShmLenLow = 0x0b0,
    kShmLenHigh = 0x0b4,
    kShmBaseLow = 0x0b8,
    kShmBaseHigh = 0x0bc,
    kConfigGeneration = 0x0fc,
    kConfig = 0x100,
  };
  enum Status : uint32_t {
    kAcknowledge = 1,
    kDriver = 2,
    kDriverOk = 4,
    kFeaturesOk = 8,
    kNeedsReset = 64,
    kFailed = 128,
  };
  static constexpr uint64_t kFeatures = kVirtioFeatureVersion1 | kVirtioFeatureEventIndex;

  explicit MmioDriver(Device& transport) : transport_(transport) {}

  uint32_t Read(uint64_t offset);
  void Write(uint64_t offset, uint32_t value);
  uint32_t status() { return Read(kStatus); }

  uint64_t DeviceFeatures();
  // Status up to FEATURES_OK; whether the device took the features.
  bool Negotiate(uint64_t features = kFeatures);
  // Sets the registers of a queue, but QueueReady.
  void SetQueue(uint32_t number, const VirtqueueConfig& config);
  // That, and QueueReady; whether the device took it.
  bool EnableQueue(uint32_t number, const VirtqueueConfig& config);
  void SetDriverOk() { Write(kStatus, status() | kDriverOk); }
  // Returns when the device is at rest.
  void Reset() { Write(kStatus, 0); }

 private:
  Device& transport_;
};

}  // namespace vmwire

#endif  // VMWIRE_TESTS_DEVICES_MMIO_DRIVER_H_
