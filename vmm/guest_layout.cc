#include "vmm/guest_layout.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

absl::Status CheckSize(uint64_t memory_bytes) {
  if (memory_bytes < kMinGuestMemory) {
    return absl::InvalidArgumentError(
        absl::StrFormat("guest memory of %d bytes is too small: the least is %d bytes (1 MiB)",
                        memory_bytes, kMinGuestMemory));
  }
  if (memory_bytes > kMaxGuestMemory) {
    return absl::InvalidArgumentError(
        absl::StrFormat("guest memory of %d bytes is too large: the most is %d bytes (128 GiB)",
                        memory_bytes, kMaxGuestMemory));
  }
  if (!IsAligned(memory_bytes, kPageSize)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "guest memory of %d bytes is not whole pages: it must be a multiple of %d bytes",
        memory_bytes, kPageSize));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GuestLayout> GuestLayout::Create(uint64_t memory_bytes,
                                                uint32_t guest_address_bits) {
  VMWIRE_RETURN_IF_ERROR(CheckSize(memory_bytes));
  std::vector<GuestRange> ram;
  const uint64_t low = std::min(memory_bytes, kMmioHoleStart.value());
  VMWIRE_ASSIGN_OR_RETURN(const GuestRange low_range, GuestRange::Create(GuestAddress(0), low));
  ram.push_back(low_range);
  if (memory_bytes > low) {
    VMWIRE_ASSIGN_OR_RETURN(const GuestRange high_range,
                            GuestRange::Create(kMmioHoleEnd, memory_bytes - low));
    ram.push_back(high_range);
  }
  const uint64_t last = ram.back().end().value() - 1;
  if (guest_address_bits < 64 && (last >> guest_address_bits) != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "guest memory of %d bytes would end at 0x%x, but the guest's CPU addresses %d bits of "
        "memory (up to 0x%x): ask for less memory",
        memory_bytes, last + 1, guest_address_bits, uint64_t{1} << guest_address_bits));
  }
  return GuestLayout(memory_bytes, std::move(ram));
}

bool GuestLayout::IsRam(GuestAddress start, uint64_t size) const {
  const std::optional<GuestAddress> end = start.CheckedAdd(size);
  if (!end.has_value()) return false;
  return std::any_of(ram_.begin(), ram_.end(), [&](const GuestRange& range) {
    return range.start() <= start && *end <= range.end();
  });
}

std::optional<uint64_t> MemoryNeededFor(GuestAddress start, uint64_t size) {
  const std::optional<GuestAddress> end = start.CheckedAdd(size);
  if (!end.has_value()) return std::nullopt;
  uint64_t bytes = end->value();
  if (*end > kMmioHoleStart) {
    if (start < kMmioHoleEnd) return std::nullopt;
    bytes -= kMmioHoleEnd.value() - kMmioHoleStart.value();
  }
  const std::optional<uint64_t> whole = CheckedAlignUp(std::max(bytes, kMinGuestMemory), kMiB);
  if (!whole.has_value() || *whole > kMaxGuestMemory) return std::nullopt;
  return whole;
}

}  // namespace vmwire
