#include "devices/device_log.h"

#include "absl/strings/str_format.h"

namespace vmwire {
namespace {

constexpr std::chrono::seconds kBetweenLines{1};

}  // namespace

void DeviceLog::Report(const std::string& device, const absl::Status& error) {
  const MutexLock lock(mutex_);
  PerDevice& of_device = devices_[device];
  const bool first = of_device.errors++ == 0;
  const auto now = clock_();
  if (!first && now - of_device.last_line < kBetweenLines) {
    ++of_device.unsaid;
    return;
  }
  const std::string more =
      of_device.unsaid == 0
          ? ""
          : absl::StrFormat(" (and %d more since the last line)", of_device.unsaid);
  of_device.unsaid = 0;
  of_device.last_line = now;
  sink_(absl::StrFormat("%s: %s%s", device, std::string(error.message()), more));
}

uint64_t DeviceLog::errors(const std::string& device) const {
  const MutexLock lock(mutex_);
  const auto found = devices_.find(device);
  return found == devices_.end() ? 0 : found->second.errors;
}

}  // namespace vmwire
