#include "memory/dma_round_trip.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <random>

#include "absl/cleanup/cleanup.h"
#include "memory/page_range.h"
#include "memory/status_macros.h"

namespace vmwire {
namespace {

using PageBytes = std::array<std::byte, kPageSize>;

PageBytes Pattern(uint64_t seed) {
  std::mt19937_64 random(seed);
  PageBytes bytes;
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, sizeof(word));
  }
  return bytes;
}

// Each byte other than it was, so that no stale one goes unnoticed.
PageBytes Inverse(PageBytes bytes) {
  for (std::byte& byte : bytes) byte = ~byte;
  return bytes;
}

absl::Status CompareAsDevice(HostMemory& host, const PinnedBuffer& buffer, HostAddress page,
                             const PageBytes& expected, const char* otherwise) {
  PageBytes seen;
  VMWIRE_RETURN_IF_ERROR(host.TransferOut(buffer.table, buffer.slot, page, absl::MakeSpan(seen)));
  if (seen == expected) return absl::OkStatus();
  return absl::FailedPreconditionError(otherwise);
}

}  // namespace

absl::Status DmaRoundTrip(HostMemory& host, const PinnedBuffer& buffer, HostAddress page,
                          uint64_t seed) {
  std::byte* const memory = HostPointer(page);
  PageBytes saved;
  std::memcpy(saved.data(), memory, saved.size());
  // First without a write: so a buffer that holds other memory than it should is left alone.
  VMWIRE_RETURN_IF_ERROR(
      CompareAsDevice(host, buffer, page, saved, "a device reads other bytes than the CPU"));
  const absl::Cleanup restore = [&] {
    // The frame first: where the address leads to another by now, both get theirs back.
    host.TransferIn(buffer.table, buffer.slot, page, saved).IgnoreError();
    std::memcpy(memory, saved.data(), saved.size());
  };
  const PageBytes pattern = Pattern(seed);
  VMWIRE_RETURN_IF_ERROR(host.TransferIn(buffer.table, buffer.slot, page, pattern));
  if (std::memcmp(memory, pattern.data(), pattern.size()) != 0) {
    return absl::FailedPreconditionError("the CPU does not see what a device writes");
  }
  const PageBytes inverse = Inverse(pattern);
  std::memcpy(memory, inverse.data(), inverse.size());
  return CompareAsDevice(host, buffer, page, inverse, "a device does not see what the CPU writes");
}

}  // namespace vmwire
