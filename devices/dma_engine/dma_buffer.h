// One side of a transfer of the DMA engine: a run of guest memory or a scatter-gather list of such
// runs, mapped as a whole and then seen as one row of bytes.
//
// Invariants: all of it is mapped before any byte is touched. At most kMaxDmaSegments mappings and
// kMaxDmaLength bytes.
// Thread safety: one thread uses a buffer.
#ifndef VMWIRE_DEVICES_DMA_ENGINE_DMA_BUFFER_H_
#define VMWIRE_DEVICES_DMA_ENGINE_DMA_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/dma_mapping.h"
#include "devices/dma_port.h"
#include "memory/address.h"

namespace vmwire {

class DmaBuffer {
 public:
  // The `length` bytes at `address`. Errors as DmaPort::Map; none, and no mapping, for 0 bytes.
  static absl::StatusOr<DmaBuffer> MapRun(DmaPort& port, GuestAddress address, uint32_t length,
                                          DmaDirection direction);

  // What the list of `segments` entries at `address` names, in that order; the list is read once.
  // InvalidArgument: too many entries, a reserved field that is not 0, or lengths that do not add
  // up to `length`. Otherwise as DmaPort::Map, of the list or of a segment.
  static absl::StatusOr<DmaBuffer> MapList(DmaPort& port, GuestAddress address, uint32_t segments,
                                           uint32_t length, DmaDirection direction);

  DmaBuffer(DmaBuffer&&) noexcept = default;
  DmaBuffer& operator=(DmaBuffer&&) noexcept = default;
  DmaBuffer(const DmaBuffer&) = delete;
  DmaBuffer& operator=(const DmaBuffer&) = delete;
  ~DmaBuffer() = default;

  uint64_t size() const { return size_; }

  // The bytes from `offset` on that are one piece on the host; not empty. REQUIRES: offset <
  // size().
  std::span<std::byte> From(uint64_t offset) const;
  // Those before `end`, the last of them being that at end - 1. REQUIRES: 0 < end <= size().
  std::span<std::byte> Before(uint64_t end) const;

 private:
  struct Piece {
    uint64_t start;  // In the row.
    std::span<std::byte> bytes;
  };

  DmaBuffer() = default;
  absl::Status Append(DmaPort& port, GuestAddress address, uint32_t length, DmaDirection direction);
  // The one with the byte at `offset`.
  const Piece& PieceOf(uint64_t offset) const;

  uint64_t size_ = 0;
  absl::InlinedVector<DmaMapping, 1> mappings_;
  absl::InlinedVector<Piece, 2> pieces_;
};

}  // namespace vmwire

#endif  // VMWIRE_DEVICES_DMA_ENGINE_DMA_BUFFER_H_
