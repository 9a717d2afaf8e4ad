#include "devices/virtio/block/block_plan.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "memory/address.h"

namespace vmwire {
namespace {

// Below this size of a piece, one operation by address for all of them costs less than one with a
// registered buffer for each.
constexpr uint64_t kWorthAnOperation = 64 << 10;

// What zeroes are written from. Never touched, and so not even memory.
constexpr uint64_t kZeroBytes = uint64_t{1} << 20;
alignas(kPageSize) std::array<std::byte, kZeroBytes> zeroes;

bool SuitsDirect(const BlockOperation& operation, const DirectAlignment& alignment) {
  if (!IsAligned(operation.offset, alignment.offset) ||
      !IsAligned(operation.length, alignment.offset)) {
    return false;
  }
  return std::all_of(operation.pieces, operation.pieces + operation.piece_count,
                     [&](const iovec& piece) {
                       return IsAligned(reinterpret_cast<uintptr_t>(piece.iov_base) | piece.iov_len,
                                        alignment.memory);
                     });
}

}  // namespace

void BlockPlan::AddPiece(const DmaPiece& piece) {
  std::byte* start = piece.bytes.data();
  uint64_t left = piece.bytes.size();
  if (!pieces_.empty() && buffers_.back() == piece.buffer) {
    iovec& last = pieces_.back();
    const bool neighbours = static_cast<std::byte*>(last.iov_base) + last.iov_len == start;
    if (neighbours && last.iov_len + left <= BlockRing::kMostBytes) {
      last.iov_len += left;
      return;
    }
  }
  while (left > 0) {
    const uint64_t count = std::min(left, BlockRing::kMostBytes);
    pieces_.push_back({start, count});
    buffers_.push_back(piece.buffer);
    start += count;
    left -= count;
  }
}

void BlockPlan::Transfer(const DiskFile& disk, BlockOperation::Kind kind, uint64_t offset,
                         absl::Span<const DmaMapping> memory) {
  uint64_t bytes = 0;
  for (const DmaMapping& mapping : memory) {
    for (const DmaPiece& piece : mapping.pieces()) AddPiece(piece);
    bytes += mapping.size();
  }
  const BlockOperation operation = {.kind = kind, .offset = offset};
  const bool registered =
      std::find(buffers_.begin(), buffers_.end(), DmaPiece::kNoBuffer) == buffers_.end();
  if (pieces_.size() == 1 || (registered && bytes / kWorthAnOperation >= pieces_.size())) {
    OneByOne(operation);
  } else {
    Vectored(operation);
  }
  ChooseDescriptor(disk);
}

void BlockPlan::OneByOne(BlockOperation operation) {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    operation.pieces = &pieces_[i];
    operation.piece_count = 1;
    operation.buffer = buffers_[i];
    operation.length = pieces_[i].iov_len;
    operations_.push_back(operation);
    operation.offset += operation.length;
  }
}

void BlockPlan::Vectored(BlockOperation operation) {
  size_t next = 0;
  while (next < pieces_.size()) {
    operation.pieces = &pieces_[next];
    operation.piece_count = 0;
    operation.length = 0;
    while (next < pieces_.size() && operation.piece_count < BlockRing::kMostPieces &&
           operation.length + pieces_[next].iov_len <= BlockRing::kMostBytes) {
      operation.length += pieces_[next++].iov_len;
      ++operation.piece_count;
    }
    operations_.push_back(operation);
    operation.offset += operation.length;
  }
}

void BlockPlan::Sync() { operations_.assign(1, {.kind = BlockOperation::Kind::kSync}); }

void BlockPlan::Allocate(absl::Span<const BlockRange> ranges, bool discard) {
  for (const BlockRange& range : ranges) {
    if (range.sectors == 0) continue;
    // Blocks may be given back only if the driver allows it (virtio 1.2, 5.2.6.2).
    const bool punch = discard || (range.flags & kBlockRangeUnmap) != 0;
    operations_.push_back(
        {.kind = BlockOperation::Kind::kAllocate,
         .mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
         .offset = range.sector * kSectorSize,
         .length = range.sectors * kSectorSize});
  }
}

void BlockPlan::Zeroes(const DiskFile& disk, absl::Span<const BlockRange> ranges) {
  Clear();
  for (const BlockRange& range : ranges) {
    const uint64_t start = range.sector * kSectorSize;
    const uint64_t bytes = range.sectors * kSectorSize;
    for (uint64_t done = 0; done < bytes; done += kZeroBytes) {
      pieces_.push_back({zeroes.data(), std::min(bytes - done, kZeroBytes)});
      operations_.push_back({.kind = BlockOperation::Kind::kWrite,
                             .offset = start + done,
                             .length = pieces_.back().iov_len,
                             .piece_count = 1});
    }
  }
  for (size_t i = 0; i < operations_.size(); ++i) operations_[i].pieces = &pieces_[i];
  ChooseDescriptor(disk);
}

void BlockPlan::ChooseDescriptor(const DiskFile& disk) {
  const bool direct =
      disk.direct() &&
      std::all_of(operations_.begin(), operations_.end(), [&](const BlockOperation& operation) {
        return SuitsDirect(operation, disk.alignment());
      });
  for (BlockOperation& operation : operations_) operation.direct = direct;
}

void BlockPlan::Clear() {
  pieces_.clear();
  buffers_.clear();
  operations_.clear();
}

}  // namespace vmwire
