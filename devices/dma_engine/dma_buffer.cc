#include "devices/dma_engine/dma_buffer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "devices/dma_engine/dma_descriptor.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// All lengths are checked before the first segment is mapped, so that no list maps more than one
// descriptor may.
absl::Status CheckList(const std::vector<DmaSegment>& list, GuestAddress address, uint32_t length) {
  uint64_t total = 0;
  for (const DmaSegment& segment : list) {
    if (segment.reserved != 0) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "a segment of the list at 0x%x has 0x%x in its reserved field; it must be 0",
          address.value(), segment.reserved));
    }
    total += segment.length;
  }
  if (total == length) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "the list at 0x%x is of 0x%x bytes, its descriptor of 0x%x", address.value(), total, length));
}

}  // namespace

absl::StatusOr<DmaBuffer> DmaBuffer::MapRun(DmaPort& port, GuestAddress address, uint32_t length,
                                            DmaDirection direction) {
  DmaBuffer buffer;
  VMWIRE_RETURN_IF_ERROR(buffer.Append(port, address, length, direction));
  return buffer;
}

absl::StatusOr<DmaBuffer> DmaBuffer::MapList(DmaPort& port, GuestAddress address, uint32_t segments,
                                             uint32_t length, DmaDirection direction) {
  if (segments > kMaxDmaSegments) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the list at 0x%x has %d segments; the engine takes at most %d of a descriptor",
        address.value(), segments, kMaxDmaSegments));
  }
  std::vector<DmaSegment> list(segments);
  VMWIRE_RETURN_IF_ERROR(port.Read(address, std::as_writable_bytes(std::span(list))));
  VMWIRE_RETURN_IF_ERROR(CheckList(list, address, length));
  DmaBuffer buffer;
  for (const DmaSegment& segment : list) {
    VMWIRE_RETURN_IF_ERROR(
        buffer.Append(port, GuestAddress(segment.address), segment.length, direction));
  }
  return buffer;
}

absl::Status DmaBuffer::Append(DmaPort& port, GuestAddress address, uint32_t length,
                               DmaDirection direction) {
  if (length == 0) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(DmaMapping mapping, port.Map(address, length, direction));
  for (const DmaPiece& piece : mapping.pieces()) {
    pieces_.push_back({.start = size_, .bytes = piece.bytes});
    size_ += piece.bytes.size();
  }
  mappings_.push_back(std::move(mapping));
  return absl::OkStatus();
}

const DmaBuffer::Piece& DmaBuffer::PieceOf(uint64_t offset) const {
  const auto next =
      std::upper_bound(pieces_.begin(), pieces_.end(), offset,
                       [](uint64_t value, const Piece& piece) { return value < piece.start; });
  return *std::prev(next);
}

std::span<std::byte> DmaBuffer::From(uint64_t offset) const {
  const Piece& piece = PieceOf(offset);
  return piece.bytes.subspan(offset - piece.start);
}

std::span<std::byte> DmaBuffer::Before(uint64_t end) const {
  const Piece& piece = PieceOf(end - 1);
  return piece.bytes.first(end - piece.start);
}

}  // namespace vmwire
