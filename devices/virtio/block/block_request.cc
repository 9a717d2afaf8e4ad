#include "devices/virtio/block/block_request.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_format.h"
#include "memory/address.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

// The host's trouble, as against the driver's: it passes, and is no reason for a reset.
bool IsHostsTrouble(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

// Calls `visit` for each part of a buffer that lies in [skip, skip + bytes) of the whole sequence.
// REQUIRES: the sequence is that long.
absl::Status VisitBytes(const DescriptorChain::Buffers& buffers, uint64_t skip, uint64_t bytes,
                        absl::FunctionRef<absl::Status(GuestAddress, uint64_t)> visit) {
  for (const VirtqueueBuffer& buffer : buffers) {
    if (bytes == 0) break;
    if (skip >= buffer.length) {
      skip -= buffer.length;
      continue;
    }
    const std::optional<GuestAddress> start = buffer.address.CheckedAdd(skip);
    if (!start.has_value()) {
      return absl::OutOfRangeError(
          absl::StrFormat("buffer 0x%x+0x%x wraps", buffer.address.value(), buffer.length));
    }
    const uint64_t count = std::min(bytes, buffer.length - skip);
    VMWIRE_RETURN_IF_ERROR(visit(*start, count));
    bytes -= count;
    skip = 0;
  }
  return absl::OkStatus();
}

absl::Status ReadBytes(DmaPort& port, const DescriptorChain::Buffers& buffers, uint64_t skip,
                       std::span<std::byte> out) {
  return VisitBytes(buffers, skip, out.size(), [&](GuestAddress address, uint64_t count) {
    const std::span<std::byte> part = out.first(count);
    out = out.subspan(count);
    return port.Read(address, part);
  });
}

bool IsInside(const DiskFile& disk, uint64_t sector, uint64_t sectors) {
  return sector <= disk.sectors() && sectors <= disk.sectors() - sector;
}

}  // namespace

absl::Status BlockRequest::Start(const BlockRequestContext& context, const DescriptorChain& chain) {
  head_ = chain.head();
  absl::Status status = MapStatus(context.port, chain);
  if (status.ok()) {
    status = ReadBytes(context.port, chain.readable(), 0,
                       std::as_writable_bytes(std::span<BlockHeader, 1>(&header_, 1)));
    if (status.ok()) status = StartKind(context, chain);
    if (IsHostsTrouble(status)) {
      Complete(BlockStatus::kIoError);
      return absl::OkStatus();
    }
  }
  if (!status.ok()) Reset();
  return status;
}

absl::Status BlockRequest::MapStatus(DmaPort& port, const DescriptorChain& chain) {
  if (chain.writable_bytes() == 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the block request at descriptor %d has no writable byte for its status "
                        "(virtio 1.2, 5.2.6)",
                        head_));
  }
  if (chain.readable_bytes() < sizeof(BlockHeader)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the block request at descriptor %d has %d bytes of its header of 16 "
                        "(virtio 1.2, 5.2.6)",
                        head_, chain.readable_bytes()));
  }
  return VisitBytes(chain.writable(), chain.writable_bytes() - 1, 1,
                    [&](GuestAddress address, uint64_t count) -> absl::Status {
                      VMWIRE_ASSIGN_OR_RETURN(status_,
                                              port.Map(address, count, DmaDirection::kFromDevice));
                      return absl::OkStatus();
                    });
}

absl::Status BlockRequest::StartKind(const BlockRequestContext& context,
                                     const DescriptorChain& chain) {
  switch (header_.type) {
    case kBlockIn:
    case kBlockOut:
      return StartTransfer(context, chain);
    case kBlockFlush:
      plan_.Sync();
      return absl::OkStatus();
    case kBlockGetId:
      return StartGetId(context, chain);
    case kBlockDiscard:
    case kBlockWriteZeroes:
      return StartRanges(context, chain);
    default:
      Complete(BlockStatus::kUnsupported);
      return absl::OkStatus();
  }
}

absl::Status BlockRequest::StartTransfer(const BlockRequestContext& context,
                                         const DescriptorChain& chain) {
  const bool read = header_.type == kBlockIn;
  const uint64_t bytes =
      read ? chain.writable_bytes() - 1 : chain.readable_bytes() - sizeof(BlockHeader);
  const bool refused = !read && context.disk.read_only();
  if (refused || !IsAligned(bytes, kSectorSize) ||
      !IsInside(context.disk, header_.sector, bytes / kSectorSize)) {
    Complete(BlockStatus::kIoError);
    return absl::OkStatus();
  }
  data_bytes_ = bytes;
  if (read) {
    VMWIRE_RETURN_IF_ERROR(
        MapData(context.port, chain.writable(), 0, bytes, DmaDirection::kFromDevice));
  } else {
    VMWIRE_RETURN_IF_ERROR(MapData(context.port, chain.readable(), sizeof(BlockHeader), bytes,
                                   DmaDirection::kToDevice));
  }
  plan_.Transfer(context.disk, read ? BlockOperation::Kind::kRead : BlockOperation::Kind::kWrite,
                 header_.sector * kSectorSize, data_);
  if (operations().empty()) Complete(BlockStatus::kOk);
  return absl::OkStatus();
}

absl::Status BlockRequest::StartGetId(const BlockRequestContext& context,
                                      const DescriptorChain& chain) {
  std::array<std::byte, kBlockIdBytes> id = {};
  std::memcpy(id.data(), context.serial.data(), std::min(context.serial.size(), id.size()));
  data_bytes_ = std::min<uint64_t>(chain.writable_bytes() - 1, id.size());
  VMWIRE_RETURN_IF_ERROR(
      MapData(context.port, chain.writable(), 0, data_bytes_, DmaDirection::kFromDevice));
  std::span<const std::byte> rest(id);
  for (DmaMapping& mapping : data_) {
    mapping.CopyFrom(0, rest.first(mapping.size()));
    rest = rest.subspan(mapping.size());
  }
  Complete(BlockStatus::kOk);
  return absl::OkStatus();
}

absl::Status BlockRequest::StartRanges(const BlockRequestContext& context,
                                       const DescriptorChain& chain) {
  const uint64_t feature =
      header_.type == kBlockDiscard ? kBlockFeatureDiscard : kBlockFeatureWriteZeroes;
  const uint64_t bytes = chain.readable_bytes() - sizeof(BlockHeader);
  if ((context.features & feature) == 0) {
    Complete(BlockStatus::kUnsupported);
  } else if (bytes == 0 || bytes % sizeof(BlockRange) != 0 ||
             bytes > kMostRanges * sizeof(BlockRange)) {
    Complete(BlockStatus::kIoError);
  }
  if (done_) return absl::OkStatus();
  ranges_.resize(bytes / sizeof(BlockRange));
  VMWIRE_RETURN_IF_ERROR(ReadBytes(context.port, chain.readable(), sizeof(BlockHeader),
                                   std::as_writable_bytes(std::span<BlockRange>(ranges_))));
  if (const BlockStatus status = CheckRanges(context.disk); status != BlockStatus::kOk) {
    Complete(status);
    return absl::OkStatus();
  }
  plan_.Allocate(ranges_, header_.type == kBlockDiscard);
  if (operations().empty()) Complete(BlockStatus::kOk);
  return absl::OkStatus();
}

BlockStatus BlockRequest::CheckRanges(const DiskFile& disk) const {
  const bool discard = header_.type == kBlockDiscard;
  const uint32_t known = discard ? 0 : kBlockRangeUnmap;
  const uint32_t most = discard ? kMostDiscardSectors : kMostZeroSectors;
  for (const BlockRange& range : ranges_) {
    if ((range.flags & ~known) != 0) return BlockStatus::kUnsupported;
  }
  for (const BlockRange& range : ranges_) {
    if (range.sectors > most || !IsInside(disk, range.sector, range.sectors)) {
      return BlockStatus::kIoError;
    }
  }
  return BlockStatus::kOk;
}

absl::Status BlockRequest::MapData(DmaPort& port, const DescriptorChain::Buffers& buffers,
                                   uint64_t skip, uint64_t bytes, DmaDirection direction) {
  return VisitBytes(
      buffers, skip, bytes, [&](GuestAddress address, uint64_t count) -> absl::Status {
        VMWIRE_ASSIGN_OR_RETURN(DmaMapping mapping, port.Map(address, count, direction));
        data_.push_back(std::move(mapping));
        return absl::OkStatus();
      });
}

bool BlockRequest::Continue(const BlockRequestContext& context) {
  // A driver without FLUSH has no other way to make a write last (virtio 1.2, 5.2.6.2).
  if (synced_ || !writes() || (context.features & kBlockFeatureFlush) != 0) return false;
  synced_ = true;
  plan_.Sync();
  return true;
}

bool BlockRequest::TryOtherWay(const BlockRequestContext& context, int error) {
  // EINVAL: a block device, of ranges that are no multiple of its own blocks.
  if (ranges_.empty() || by_hand_ || (error != EOPNOTSUPP && error != EINVAL)) return false;
  by_hand_ = true;
  // A discard is a hint only: to do nothing is right.
  if (header_.type == kBlockDiscard) {
    plan_.Clear();
  } else {
    plan_.Zeroes(context.disk, ranges_);
  }
  return true;
}

void BlockRequest::BeginTransfer() {
  for (DmaMapping& mapping : data_) mapping.BeginTransfer();
}

void BlockRequest::EndTransfer() {
  for (DmaMapping& mapping : data_) mapping.EndTransfer();
}

void BlockRequest::Complete(BlockStatus status) {
  const std::byte byte{static_cast<uint8_t>(status)};
  status_->CopyFrom(0, {&byte, 1});
  status_value_ = status;
  done_ = true;
  const bool filled = header_.type == kBlockIn || header_.type == kBlockGetId;
  // Of one that failed no byte of the data can be vouched for: the status alone is counted.
  const uint64_t data = filled && status == BlockStatus::kOk ? data_bytes_ : 0;
  written_ = static_cast<uint32_t>(data + sizeof(byte));
}

void BlockRequest::Reset() {
  data_.clear();
  status_.reset();
  header_ = {};
  data_bytes_ = 0;
  synced_ = false;
  by_hand_ = false;
  done_ = false;
  ranges_.clear();
  plan_.Clear();
}

}  // namespace vmwire
