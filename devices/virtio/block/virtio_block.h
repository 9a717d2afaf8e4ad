// A virtio block device (OASIS virtio 1.2, 5.2) over a file or a block device of the host, by
// io_uring: transfers go straight between the file and guest memory.
//
// Answers: a request that is wrong in itself (past the end, no multiple of 512, a write to a
// read-only disk) is IOERR, as is any failure of the host; one of an unknown kind, or that was not
// negotiated, UNSUPP. A driver that breaks the frame, which is to say gives no header, no byte for
// the status, or memory that is none or may not be written, makes Serve fail: a reset is needed.
// Discard is a hint: a host that cannot does nothing. A flush makes durable what was completed
// before it; a driver that did not negotiate FLUSH has each of its writes durable when it is
// completed (5.2.6.2).
//
// Invariants: the capacity does not change; no byte past it is touched.
// Thread safety: as VirtioDevice.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_VIRTIO_BLOCK_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_VIRTIO_BLOCK_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_port.h"
#include "devices/virtio/block/block_counters.h"
#include "devices/virtio/block/block_format.h"
#include "devices/virtio/block/disk_file.h"
#include "devices/virtio/virtio_device.h"

namespace vmwire {

struct VirtioBlockOptions {
  // At most kBlockIdBytes characters.
  std::string serial = "vmwire";
  uint16_t queues = 1;        // 1 to kMostQueues.
  uint16_t queue_size = 256;  // A power of two, 4 to kMaxQueueSize.
  // Transfers with the memory's pinned buffers, where the host can share them; else by address.
  bool registered_buffers = true;
};

class VirtioBlock final : public VirtioDevice {
 public:
  static constexpr uint16_t kMostQueues = 8;

  // InvalidArgument: an option is out of range. Unimplemented, PermissionDenied,
  // ResourceExhausted: the host gives no io_uring. REQUIRES: `port` outlives the device.
  static absl::StatusOr<std::unique_ptr<VirtioBlock>> Create(DiskFile disk, DmaPort& port,
                                                             const VirtioBlockOptions& options);

  std::string Name() const override { return "virtio-blk " + disk_.path(); }
  uint32_t DeviceId() const override { return kVirtioBlockDeviceId; }
  uint64_t Features() const override;
  std::vector<uint16_t> QueueSizes() const override;
  void ReadConfig(uint64_t offset, std::span<std::byte> data) const override;
  // Nothing of it is writable.
  void WriteConfig(uint64_t, std::span<const std::byte>) override {}
  absl::Status Serve(const VirtioSession& session) override;
  std::vector<DeviceCounter> Counters() const override { return counters_.List(); }

  const DiskFile& disk() const { return disk_; }

 private:
  VirtioBlock(DiskFile disk, DmaPort& port, const VirtioBlockOptions& options);

  const DiskFile disk_;
  DmaPort& port_;
  const VirtioBlockOptions options_;
  const BlockConfig config_;
  BlockCounters counters_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_VIRTIO_BLOCK_H_
