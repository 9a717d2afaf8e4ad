#include "tests/devices/mmio_driver.h"

#include <span>

namespace vmwire {

uint32_t MmioDriver::Read(uint64_t offset) {
  uint32_t value = 0;
  transport_.Read(offset, std::as_writable_bytes(std::span<uint32_t, 1>(&value, 1)));
  return value;
}

void MmioDriver::Write(uint64_t offset, uint32_t value) {
  transport_.Write(offset, std::as_bytes(std::span<const uint32_t, 1>(&value, 1)));
}

uint64_t MmioDriver::DeviceFeatures() {
  Write(kDeviceFeaturesSel, 1);
  const uint64_t high = Read(kDeviceFeatures);
  Write(kDeviceFeaturesSel, 0);
  return high << 32 | Read(kDeviceFeatures);
}

bool MmioDriver::Negotiate(uint64_t features) {
  Write(kStatus, kAcknowledge);
  Write(kStatus, kAcknowledge | kDriver);
  Write(kDriverFeaturesSel, 1);
  Write(kDriverFeatures, static_cast<uint32_t>(features >> 32));
  Write(kDriverFeaturesSel, 0);
  Write(kDriverFeatures, static_cast<uint32_t>(features));
  Write(kStatus, kAcknowledge | kDriver | kFeaturesOk);
  return (status() & kFeaturesOk) != 0;
}

void MmioDriver::SetQueue(uint32_t number, const VirtqueueConfig& config) {
  Write(kQueueSel, number);
  Write(kQueueNum, config.size);
  Write(kQueueDescLow, static_cast<uint32_t>(config.descriptors.value()));
  Write(kQueueDescHigh, static_cast<uint32_t>(config.descriptors.value() >> 32));
  Write(kQueueDriverLow, static_cast<uint32_t>(config.driver.value()));
  Write(kQueueDriverHigh, static_cast<uint32_t>(config.driver.value() >> 32));
  Write(kQueueDeviceLow, static_cast<uint32_t>(config.device.value()));
  Write(kQueueDeviceHigh, static_cast<uint32_t>(config.device.value() >> 32));
}

bool MmioDriver::EnableQueue(uint32_t number, const VirtqueueConfig& config) {
  SetQueue(number, config);
  Write(kQueueReady, 1);
  return Read(kQueueReady) == 1;
}

}  // namespace vmwire
