#include "devices/dma_port.h"

#include "absl/strings/str_format.h"
#include "memory/check.h"

namespace vmwire {

DmaPort::~DmaPort() { VMWIRE_CHECK(stats().live == 0, "a DMA mapping outlives its port"); }

absl::StatusOr<DmaMapping> DmaPort::Map(GuestAddress address, uint64_t size,
                                        DmaDirection direction) {
  DmaMapping::Pieces pieces;
  DmaMapping::Holds holds;
  absl::Status mapped;
  if (size == 0) {
    mapped = absl::InvalidArgumentError(
        absl::StrFormat("DMA of %s at 0x%x is empty", name_, address.value()));
  } else if (size > UINT64_MAX - address.value()) {
    mapped = absl::OutOfRangeError(
        absl::StrFormat("DMA of %s to 0x%x+0x%x wraps around", name_, address.value(), size));
  } else {
    mapped = MapPieces(address, size, direction, pieces, holds);
  }
  if (!mapped.ok()) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return mapped;
  }
  mapped_.fetch_add(1, std::memory_order_relaxed);
  return DmaMapping(this, address, size, direction, std::move(pieces), std::move(holds));
}

absl::Status DmaPort::Read(GuestAddress address, std::span<std::byte> out) {
  if (out.empty()) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(const DmaMapping mapping,
                          Map(address, out.size(), DmaDirection::kToDevice));
  mapping.CopyTo(0, out);
  return absl::OkStatus();
}

absl::Status DmaPort::Write(GuestAddress address, std::span<const std::byte> in) {
  if (in.empty()) return absl::OkStatus();
  VMWIRE_ASSIGN_OR_RETURN(DmaMapping mapping, Map(address, in.size(), DmaDirection::kFromDevice));
  mapping.CopyFrom(0, in);
  return absl::OkStatus();
}

void DmaPort::SetRevokeListener(RevokeListener listener) {
  const MutexLock lock(listener_mutex_);
  listener_ = std::move(listener);
}

void DmaPort::TellRevoked(const GuestRange& range) {
  const MutexLock lock(listener_mutex_);
  if (listener_) listener_(range);
}

void DmaPort::End(DmaMapping& mapping) {
  if (mapping.direction() != DmaDirection::kToDevice) OnWritten(mapping.address(), mapping.size());
  if (!mapping.InFlight()) {
    ended_.fetch_add(1, std::memory_order_relaxed);
    mapping.holds_.clear();
    return;
  }
  const MutexLock lock(mutex_);
  quarantine_.push_back(
      {std::move(mapping.holds_), mapping.address(), mapping.size(), mapping.direction()});
}

void DmaPort::SetQuiet() {
  std::vector<Abandoned> quiet;
  {
    const MutexLock lock(mutex_);
    quiet.swap(quarantine_);
  }
  for (const Abandoned& abandoned : quiet) {
    // What the device wrote after its mapping was given up.
    if (abandoned.direction != DmaDirection::kToDevice) {
      OnWritten(abandoned.address, abandoned.size);
    }
    ended_.fetch_add(1, std::memory_order_relaxed);
  }
}

DmaPortStats DmaPort::stats() const {
  const MutexLock lock(mutex_);
  const uint64_t ended = ended_.load(std::memory_order_relaxed);
  const uint64_t mapped = mapped_.load(std::memory_order_relaxed);
  return {.mapped = mapped,
          .refused = refused_.load(std::memory_order_relaxed),
          .live = mapped - ended,
          .quarantined = quarantine_.size()};
}

}  // namespace vmwire
