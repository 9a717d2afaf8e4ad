#include "devices/map_dma_port.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {

absl::Status MapDmaPort::AttachRing(int ring_fd) {
  VMWIRE_ASSIGN_OR_RETURN(buffers_, SharedBuffers::Create(space_.host_, space_.map_, ring_fd));
  return absl::OkStatus();
}

absl::Status MapDmaPort::Discard(const GuestRange& range) {
  VMWIRE_RETURN_IF_ERROR(CheckWindows(range.start(), range.size()));
  return space_.Discard(range);
}

absl::Status MapDmaPort::MapPieces(GuestAddress address, uint64_t size, DmaDirection direction,
                                   DmaMapping::Pieces& pieces, DmaMapping::Holds& holds) {
  if (windows_.has_value()) VMWIRE_RETURN_IF_ERROR(CheckWindows(address, size));
  const Protection access = AccessOf(direction);
  absl::StatusOr<HeldRange> held = space_.Hold(address, size, access);
  if (held.ok()) [[likely]] {
    Add(*std::move(held), pieces, holds);
  } else if (absl::IsOutOfRange(held.status())) {
    // All of it may be had, but it is more than one piece of the host.
    VMWIRE_RETURN_IF_ERROR(MapEntries(address, size, access, pieces, holds));
  } else {
    return Refused(address, size, held.status());
  }
  // Only now, after the holds were published.
  if (space_.AnyRevoked()) [[unlikely]]
    return space_.CheckNotRevoked(address, size);
  return absl::OkStatus();
}

absl::Status MapDmaPort::MapEntries(GuestAddress address, uint64_t size, Protection access,
                                    DmaMapping::Pieces& pieces, DmaMapping::Holds& holds) {
  GuestAddress at = address;
  uint64_t left = size;
  while (left > 0) {
    const std::optional<VmMapEntry> entry = space_.map_.Lookup(at);
    if (!entry.has_value()) {
      return absl::NotFoundError(absl::StrFormat("DMA of %s to 0x%x+0x%x: no memory at 0x%x",
                                                 name(), address.value(), size, at.value()));
    }
    const uint64_t count = std::min(left, entry->range.end().value() - at.value());
    absl::StatusOr<HeldRange> held = space_.Hold(at, count, access);
    if (!held.ok()) return Refused(address, size, held.status());
    Add(*std::move(held), pieces, holds);
    at = GuestAddress(at.value() + count);
    left -= count;
  }
  return absl::OkStatus();
}

absl::Status MapDmaPort::Refused(GuestAddress address, uint64_t size,
                                 const absl::Status& why) const {
  // What the map calls no address of its own is no memory to a device.
  const absl::StatusCode code =
      absl::IsInvalidArgument(why) ? absl::StatusCode::kNotFound : why.code();
  return absl::Status(code, absl::StrFormat("DMA of %s to 0x%x+0x%x: %s", name(), address.value(),
                                            size, std::string(why.message())));
}

void MapDmaPort::Add(HeldRange held, DmaMapping::Pieces& pieces, DmaMapping::Holds& holds) {
  const std::span<std::byte> bytes = held.bytes();
  pieces.push_back({.bytes = bytes,
                    .buffer = buffers_ == nullptr ? DmaPiece::kNoBuffer : buffers_->Find(bytes)});
  holds.push_back(std::move(held));
}

absl::Status MapDmaPort::CheckWindows(GuestAddress address, uint64_t size) const {
  if (!windows_.has_value()) return absl::OkStatus();
  for (const GuestRange& window : *windows_) {
    if (window.Contains(address) && size <= window.end().value() - address.value()) {
      return absl::OkStatus();
    }
  }
  return absl::PermissionDeniedError(absl::StrFormat(
      "DMA of %s to 0x%x+0x%x is not inside a window of its port", name(), address.value(), size));
}

void MapDmaPort::OnWritten(GuestAddress address, uint64_t size) {
  DirtyLog* const log = space_.dirty_log_.load(std::memory_order_acquire);
  if (log != nullptr) [[unlikely]]
    log->Mark(address, size);
}

}  // namespace vmwire
