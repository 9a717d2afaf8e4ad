// What a block device has done, counted by its thread and read by any.
//
// Invariants: a count only grows.
// Thread safety: Add from one thread at a time, the device's; Get from any.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_COUNTERS_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_COUNTERS_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "devices/virtio/block/block_format.h"
#include "devices/virtio/virtio_device.h"

namespace vmwire {

class BlockCount {
 public:
  // Without a locked instruction: nobody else adds.
  void Add(uint64_t count) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

struct BlockCounters {
  // A request was given back.
  void Count(uint32_t type, BlockStatus status, uint64_t bytes);
  std::vector<DeviceCounter> List() const;

  // Requests that were given back, by kind; `unsupported` are those of another kind.
  BlockCount reads, writes, flushes, discards, write_zeroes, ids, unsupported;
  // Of these, those that ended with IOERR.
  BlockCount errors;
  // Of requests that succeeded.
  BlockCount bytes_read, bytes_written;
  // Operations: with a registered buffer; by address, of one piece; of several pieces.
  BlockCount fixed, plain, vectored;
  // Operations through the direct descriptor.
  BlockCount direct;
  // All operations, and the calls of the kernel that submitted them: the difference was merged.
  BlockCount operations, submits;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_COUNTERS_H_
