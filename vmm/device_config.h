// Which devices a machine has beside its ports, as choices: nothing here has been checked against
// the host yet.
//
// Invariants: none; MachineDevices checks.
// Thread safety: values.
#ifndef VMWIRE_VMM_DEVICE_CONFIG_H_
#define VMWIRE_VMM_DEVICE_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vmwire {

struct DiskConfig {
  std::string path;
  bool read_only = false;
  bool direct = false;
  // Transfers through the pinned buffers of guest memory, where there are any.
  bool registered_buffers = true;
};

// What is kept pinned for devices under WirePolicyKind::kOnDemand, unless said otherwise.
inline constexpr uint64_t kDefaultDmaKeepBytes = uint64_t{64} << 20;

struct DeviceConfig {
  std::vector<DiskConfig> disks = {};
  bool rng = false;
  bool console = false;
  bool balloon = false;
  bool dma_engine = false;
  // Of WirePolicyKind::kOnDemand: bytes that stay wired for devices, and as many again that may
  // stay pinned in the cache.
  uint64_t dma_keep_bytes = kDefaultDmaKeepBytes;

  size_t Count() const {
    return disks.size() + size_t{rng} + size_t{console} + size_t{balloon} + size_t{dma_engine};
  }
};

}  // namespace vmwire

#endif  // VMWIRE_VMM_DEVICE_CONFIG_H_
