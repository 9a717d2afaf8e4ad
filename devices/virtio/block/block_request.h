// One request of a driver: read from its chain once, checked, its memory mapped, and turned into
// the operations that do it.
//
//   chain:  | header 16 | data ...  |            | data ... | status 1 |
//             readable: OUT's data, ranges         writable: IN's data, the serial number
//
// Buffers may be cut anywhere (virtio 1.2, 2.7.4): only the sequence of the bytes counts.
//
// Invariants: what the operations use of the guest's memory is mapped as long as the request lives,
// and was so before the first of them ran: a request that cannot be mapped as a whole does nothing.
// Thread safety: one thread, the device's.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "devices/dma_mapping.h"
#include "devices/dma_port.h"
#include "devices/virtio/block/block_format.h"
#include "devices/virtio/block/block_plan.h"
#include "devices/virtio/block/block_ring.h"
#include "devices/virtio/block/disk_file.h"
#include "devices/virtio/virtqueue.h"

namespace vmwire {

// What all requests of a session have in common.
struct BlockRequestContext {
  DmaPort& port;
  const DiskFile& disk;
  const std::string& serial;
  uint64_t features = 0;  // Those that were negotiated.
};

class BlockRequest {
 public:
  static constexpr uint32_t kMostRanges = 16;
  static constexpr uint32_t kMostDiscardSectors = uint32_t{1} << 30;
  // 128 MiB, since the host may have to write them.
  static constexpr uint32_t kMostZeroSectors = uint32_t{1} << 18;

  BlockRequest() = default;
  BlockRequest(const BlockRequest&) = delete;
  BlockRequest& operator=(const BlockRequest&) = delete;

  // Takes `chain` in. OK, and done(): it needs no operation, Complete has been called. OK else:
  // operations() are to be run. Any error: the driver broke a rule, and the device needs a reset:
  // it has no header or no status byte (InvalidArgument), or names memory that is none or that
  // cannot be written (as DmaPort::Map). What the host is short of is IOERR instead. On an error
  // nothing is held. REQUIRES: not in use.
  absl::Status Start(const BlockRequestContext& context, const DescriptorChain& chain);

  // Lets the memory go: the request may be used again. REQUIRES: no operation runs.
  void Reset();

  uint16_t head() const { return head_; }
  uint32_t type() const { return header_.type; }
  // Of the data, in bytes.
  uint64_t data_bytes() const { return data_bytes_; }
  // Whether its operations write bytes to the disk.
  bool writes() const { return header_.type == kBlockOut || header_.type == kBlockWriteZeroes; }

  const std::vector<BlockOperation>& operations() const { return plan_.operations(); }
  // All operations have succeeded. True: operations() are others now, to be run as well.
  bool Continue(const BlockRequestContext& context);
  // An operation has failed with `error` (an errno). True: the host just does not know it, and
  // operations(), which may be none, do the same in another way now. REQUIRES: none of the old ones
  // runs.
  bool TryOtherWay(const BlockRequestContext& context, int error);

  // Around all its operations: the kernel may use the memory.
  void BeginTransfer();
  void EndTransfer();

  // Writes the status. REQUIRES: not done().
  void Complete(BlockStatus status);
  bool done() const { return done_; }
  BlockStatus status() const { return status_value_; }
  // Of a done request, what the used ring is told.
  uint32_t written() const { return written_; }

 private:
  absl::Status StartKind(const BlockRequestContext& context, const DescriptorChain& chain);
  absl::Status StartTransfer(const BlockRequestContext& context, const DescriptorChain& chain);
  absl::Status StartGetId(const BlockRequestContext& context, const DescriptorChain& chain);
  absl::Status StartRanges(const BlockRequestContext& context, const DescriptorChain& chain);
  absl::Status MapStatus(DmaPort& port, const DescriptorChain& chain);
  absl::Status MapData(DmaPort& port, const DescriptorChain::Buffers& buffers, uint64_t skip,
                       uint64_t bytes, DmaDirection direction);
  // What is wrong with ranges_; kOk: nothing.
  BlockStatus CheckRanges(const DiskFile& disk) const;

  BlockHeader header_;
  uint16_t head_ = 0;
  uint64_t data_bytes_ = 0;
  bool synced_ = false;
  bool done_ = false;
  BlockStatus status_value_ = BlockStatus::kOk;
  uint32_t written_ = 0;
  // Of ranges_: not by fallocate, since the host does not know it.
  bool by_hand_ = false;
  absl::InlinedVector<DmaMapping, 2> data_;
  std::optional<DmaMapping> status_;
  absl::InlinedVector<BlockRange, 1> ranges_;
  BlockPlan plan_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_
