// Which operations do a request: how its memory is cut into transfers, and which descriptor and
// registered buffers they use.
//
// Neighbours in host memory are one piece. A request of one piece, or of large ones, becomes an
// operation with a registered buffer for each; small pieces become one operation by address for all
// of them, since an operation costs more than to look up the pages of a few kilobytes.
//
// Invariants: either all operations of a plan are direct or none is; the pieces that operations
// point to stay until the plan is changed.
// Thread safety: one thread, the device's.
#ifndef VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_PLAN_H_
#define VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_PLAN_H_

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "devices/dma_mapping.h"
#include "devices/virtio/block/block_format.h"
#include "devices/virtio/block/block_ring.h"
#include "devices/virtio/block/disk_file.h"

namespace vmwire {

class BlockPlan {
 public:
  BlockPlan() = default;
  BlockPlan(const BlockPlan&) = delete;
  BlockPlan& operator=(const BlockPlan&) = delete;

  // A read or write of `memory`, in its order, from `offset` of the disk on. REQUIRES: the plan is
  // clear; `memory` lives as long as the operations.
  void Transfer(const DiskFile& disk, BlockOperation::Kind kind, uint64_t offset,
                absl::Span<const DmaMapping> memory);
  // One that makes durable what was written, instead of what was planned.
  void Sync();
  // The host's own ways to discard or to zero. REQUIRES: the plan is clear.
  void Allocate(absl::Span<const BlockRange> ranges, bool discard);
  // Zeroes are written, instead of what was planned.
  void Zeroes(const DiskFile& disk, absl::Span<const BlockRange> ranges);
  void Clear();

  const std::vector<BlockOperation>& operations() const { return operations_; }

 private:
  void AddPiece(const DmaPiece& piece);
  void OneByOne(BlockOperation operation);
  void Vectored(BlockOperation operation);
  void ChooseDescriptor(const DiskFile& disk);

  std::vector<iovec> pieces_;
  std::vector<int32_t> buffers_;  // That of each piece.
  std::vector<BlockOperation> operations_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_VIRTIO_BLOCK_BLOCK_PLAN_H_
