#include "memory/wired_range.h"

#include <utility>

#include "memory/check.h"
#include "memory/vm_map.h"

namespace vmwire {

WiredRange::WiredRange(WiredRange&& other) noexcept
    : map_(std::exchange(other.map_, nullptr)),
      range_(other.range_),
      pieces_(std::move(other.pieces_)) {}

WiredRange& WiredRange::operator=(WiredRange&& other) noexcept {
  if (this != &other) {
    Release();
    map_ = std::exchange(other.map_, nullptr);
    range_ = other.range_;
    pieces_ = std::move(other.pieces_);
  }
  return *this;
}

WiredRange::~WiredRange() { Release(); }

void WiredRange::Release() {
  if (map_ == nullptr) return;
  for (const GuestRange& piece : pieces_) map_->ReleaseToken(piece);
  map_ = nullptr;
}

uint64_t WiredRange::wired_bytes() const {
  uint64_t bytes = 0;
  for (const GuestRange& piece : pieces_) bytes += piece.size();
  return bytes;
}

absl::StatusOr<HostBacking> WiredRange::Backing() const {
  VMWIRE_CHECK(map_ != nullptr, "a token that was moved from is used");
  if (wired_bytes() != range_.size()) {
    return absl::FailedPreconditionError(range_.ToString() +
                                         " is not wired whole: it was wired with holes allowed");
  }
  return map_->BackingOf(range_);
}

}  // namespace vmwire
