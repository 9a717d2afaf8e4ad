#include "devices/dma_mapping.h"

#include <algorithm>
#include <cstring>

#include "devices/dma_port.h"

namespace vmwire {
namespace {

// Calls `visit` with each part of `pieces` that lies in the `size` bytes from `offset` on.
template <typename Visit>
void ForEachPart(absl::Span<const DmaPiece> pieces, uint64_t offset, uint64_t size,
                 const Visit& visit) {
  for (const DmaPiece& piece : pieces) {
    if (size == 0) return;
    if (offset >= piece.bytes.size()) {
      offset -= piece.bytes.size();
      continue;
    }
    const uint64_t count = std::min<uint64_t>(size, piece.bytes.size() - offset);
    visit(piece.bytes.subspan(offset, count));
    offset = 0;
    size -= count;
  }
}

}  // namespace

DmaMapping::DmaMapping(DmaMapping&& other) noexcept
    : port_(std::exchange(other.port_, nullptr)),
      address_(other.address_),
      size_(other.size_),
      direction_(other.direction_),
      transfers_(std::exchange(other.transfers_, 0)),
      pieces_(std::move(other.pieces_)),
      holds_(std::move(other.holds_)) {}

DmaMapping& DmaMapping::operator=(DmaMapping&& other) noexcept {
  if (this != &other) {
    Release();
    port_ = std::exchange(other.port_, nullptr);
    address_ = other.address_;
    size_ = other.size_;
    direction_ = other.direction_;
    transfers_ = std::exchange(other.transfers_, 0);
    pieces_ = std::move(other.pieces_);
    holds_ = std::move(other.holds_);
  }
  return *this;
}

void DmaMapping::Release() {
  if (DmaPort* const port = std::exchange(port_, nullptr); port != nullptr) port->End(*this);
}

void DmaMapping::MarkWritten() { port_->OnWritten(address_, size_); }

void DmaMapping::CopyTo(uint64_t offset, std::span<std::byte> out) const {
  ForEachPart(pieces_, offset, out.size(), [&](std::span<const std::byte> part) {
    std::memcpy(out.data(), part.data(), part.size());
    out = out.subspan(part.size());
  });
}

void DmaMapping::CopyFrom(uint64_t offset, std::span<const std::byte> in) {
  ForEachPart(pieces_, offset, in.size(), [&](std::span<std::byte> part) {
    std::memcpy(part.data(), in.data(), part.size());
    in = in.subspan(part.size());
  });
}

}  // namespace vmwire
